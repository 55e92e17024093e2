//! Releases of the runner and of base images: found by a look within the hour, told without anybody's doing, and named in the status
//! once GitHub refuses what is pinned.

use rehearsal::servers::GITHUB_TOKEN;
use rehearsal::servers::http::LogEntry;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{CheckOrder, Upstream};
use serde_json::json;

use crate::fixture::{Deployed, Fixture, wait_for};

/// So many days from now; before where the number is negative.
fn days(days: i64) -> String {
    Timestamp(Timestamp::now().0.saturating_add_signed(days * 86_400)).to_string()
}

fn versions(dated: &[(&str, i64)]) -> Vec<(String, String)> {
    dated.iter().map(|(version, published)| ((*version).to_owned(), days(*published))).collect()
}

/// What cron does in the hours between: a hook that asks for a look, and the worker that looks. Returns what it has asked for.
pub fn look(fixture: &Fixture) -> Vec<LogEntry> {
    let before = fixture.site.log().len();
    let result = fixture.unit().exec("JUJU_DISPATCH_PATH=look ./dispatch").unwrap();
    assert_eq!(result.code, 0, "{}", result.stderr);
    let host = fixture.host(&fixture.unit());
    wait_for("the look's end", || CheckOrder::load(&host).filter(|order| !order.is_open(&host)));
    fixture.job_ended();
    fixture.site.log().split_off(before)
}

fn runner(fixture: &Fixture, id: &str) -> String {
    let listed = fixture.unit().run_action("list-images", json!({})).unwrap();
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(listed.results["json"].as_str().unwrap()).unwrap();
    let row =
        rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is not listed: {rows:?}"));
    row["runner"].as_str().unwrap().to_owned()
}

#[test]
fn a_release_of_the_runner_is_told_after_one_look_and_so_is_a_base_image() {
    let fixture = Fixture::set(&[]);
    let (relation, other) = (fixture.integrate("upload"), fixture.integrate("upload2"));
    assert_eq!(fixture.job_ended().failures, []);
    let told = || [fixture.told(&relation, "id").unwrap(), fixture.told(&other, "id").unwrap()];
    let first = told();
    fixture.site.publish_runners(["2.337.1", "2.338.0"].map(Into::into).into()).unwrap();
    look(&fixture);
    let second = wait_for("the new runner", || (told() != first).then(&told));
    assert_eq!(fixture.job_ended().failures, []);
    assert!(told().iter().zip(&first).all(|(now, before)| now != before), "everybody is told");
    assert_eq!(runner(&fixture, &told()[0]), "2.338.0");

    fixture.site.publish_images("noble", 2).unwrap();
    look(&fixture);
    wait_for("the new base image", || (told() != second).then_some(()));
    assert_eq!(fixture.job_ended().failures, []);
    let history = fixture.unit().run_action("history", json!({})).unwrap();
    assert!(history.results["history"].as_str().unwrap().contains("release"), "{history:?}");
}

#[test]
fn a_look_that_finds_nothing_new_asks_only_whether_something_has_changed() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    let (counted, in_cloud) = (fixture.site.github_rate().used(), fixture.cloud.log().len());
    let job = fixture.journal().job.unwrap().id;
    let asked = look(&fixture);
    assert!((3..=4).contains(&asked.len()), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.method == "GET" && asked.status == 304), "{asked:?}");
    assert_eq!(fixture.site.github_rate().used(), counted, "nothing counts against the rate limit");
    assert_eq!(fixture.cloud.log().len(), in_cloud, "no cloud is asked");
    assert_eq!(fixture.journal().job.unwrap().id, job, "no job comes of it");
}

#[test]
fn a_paused_unit_keeps_what_it_has_says_when_it_ends_and_builds_once_it_goes_on() {
    let fixture = Fixture::set(&[("paused", "false")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = fixture.told(&relation, "id").unwrap();
    fixture.app.set_config(&[("paused", "true")]).unwrap();
    fixture.site.publish_runners_at(versions(&[("2.337.1", -40), ("2.338.0", -10)])).unwrap();
    look(&fixture);
    fixture.next_hook();
    let date = &days(20)[..10];
    let expected = format!("active: Runner 2.337.1 is refused by GitHub from {date}; noble-x64 ");
    assert!(fixture.status().starts_with(&expected), "{}", fixture.status());
    assert_eq!(fixture.told(&relation, "id").unwrap(), first);

    fixture.app.set_config(&[("paused", "false")]).unwrap();
    let second = wait_for("an image", || fixture.told(&relation, "id").filter(|told| *told != first));
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(runner(&fixture, &second), "2.338.0");
    assert!(!fixture.status().contains("refused"), "{}", fixture.status());
}

#[test]
fn github_is_asked_itself_where_a_token_and_its_scope_are_given() {
    let fixture = Fixture::set(&[("runner-version", "2.336.0")]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    fixture.next_hook();
    assert!(!fixture.status().contains("refused"), "{}", fixture.status());

    fixture.site.deprecate_runner("2.336.0", &days(3));
    let token = fixture.model.add_secret(&[("token", GITHUB_TOKEN)]).unwrap();
    token.grant(&fixture.app).unwrap();
    let options = [("github-token-secret-id", token.uri()), ("github-scope", "orgs/canonical".into())];
    let options: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fixture.app.set_config(&options).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    fixture.next_hook();
    let expected =
        format!("active: Runner 2.336.0 is refused by GitHub from {}: unset runner-version", &days(3)[..10]);
    assert!(fixture.status().starts_with(&expected), "{}", fixture.status());
    let asked = "/api/orgs/canonical/actions/runners/deprecations/2.336.0";
    let again = look(&fixture);
    let asked = again.iter().find(|entry| entry.url.contains(asked)).unwrap_or_else(|| panic!("{again:?}"));
    assert_eq!(asked.status, 304);

    fixture.site.deprecate_runner("2.336.0", &days(-1));
    look(&fixture);
    fixture.next_hook();
    let expected = format!("blocked: Runner 2.336.0 is refused by GitHub since {}", &days(-1)[..10]);
    assert!(fixture.status().starts_with(&expected), "{}", fixture.status());
    let known = Upstream::load(&fixture.host(&fixture.unit()));
    assert!(known.runner_refused("2.336.0").is_some() && known.runner_refused("2.337.1").is_none());
}
