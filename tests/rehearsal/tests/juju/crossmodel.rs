//! Applications of two models, related by an offer.

use serde_json::Value;

use crate::kept::{Juju, kept};

/// Each tells its unit's name, and shows by which names it knows the other side and what that says.
const SPEAKS: &str = "
case $HOOK in
    image-relation-joined | image-relation-changed)
        relation-set name=$JUJU_UNIT_NAME
        status-set active \"$JUJU_REMOTE_APP $JUJU_REMOTE_UNIT $(relation-get name $JUJU_REMOTE_UNIT)\" ;;
    image-relation-broken) status-set active alone ;;
esac";

/// In the model `images`: `sample` is offered; in `others`: `taker` consumes it.
fn related(juju: &Juju) {
    juju.deploy(SPEAKS);
    assert!(juju.says(&["add-model", "--no-switch", "others"]).stderr.starts_with("Added 'others' model"));
    let taker = juju.taker(SPEAKS);
    juju.run(&["deploy", "-m", "others", &taker]);
    let said = juju.says(&["offer", "sample:image"]);
    let available = "Application \"sample\" endpoints [image] available at \"admin/rehearsal.sample\"\n";
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), available));
    let said = juju.says(&["consume", "-m", "others", "rehearsal.sample", "images"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), "Added admin/rehearsal.sample as images\n"));
    juju.run(&["integrate", "-m", "others", "taker", "images"]);
    message(juju, "others", "taker/0", |said| said == "images images/0 sample/0");
}

fn message(juju: &Juju, model: &str, unit: &str, wanted: impl Fn(&str) -> bool) -> String {
    let app = unit.split('/').next().unwrap();
    let said = |text: &str| -> Option<String> {
        let status: Value = serde_json::from_str(text).ok()?;
        let said = &status["applications"][app]["units"][unit]["workload-status"]["message"];
        said.as_str().map(str::to_owned)
    };
    let words = ["status", "-m", model, "--format", "json"];
    let text = juju.wait(&words, |text| said(text).is_some_and(|said| wanted(&said)));
    said(&text).unwrap()
}

#[test]
fn the_offering_side_knows_the_consumer_by_an_opaque_name() {
    kept(|juju| {
        related(juju);
        let said = message(juju, "rehearsal", "sample/0", |said| said.ends_with(" taker/0"));
        let [app, unit, _] = *said.split(' ').collect::<Vec<_>>() else { panic!("{said}") };
        let token = app.strip_prefix("remote-").expect(app);
        assert!(token.len() == 32 && token.chars().all(|c| c.is_ascii_hexdigit()), "{app}");
        assert_eq!(unit, format!("{app}/0"));
        let shown = juju.json(&["show-unit", "sample/0"]);
        let relations = shown["sample/0"]["relation-info"].as_array().unwrap();
        let image = relations.iter().find(|relation| relation["endpoint"] == "image").unwrap();
        assert_eq!(image["cross-model"], true);
        assert_eq!(image["related-units"][unit]["data"]["name"], "taker/0");
    });
}

#[test]
fn status_shows_the_offer_on_one_side_and_the_saas_on_the_other() {
    kept(|juju| {
        related(juju);
        let status = juju.json(&["status"]);
        let offer = &status["offers"]["sample"];
        assert_eq!((&offer["application"], &offer["active-connected-count"]), (&"sample".into(), &1.into()));
        assert_eq!(offer["endpoints"]["image"]["role"], "provider");
        assert!(status["application-endpoints"].is_null(), "{status}");
        let row = |table: &str, first: &str| -> String {
            let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
            let line = line.unwrap_or_else(|| panic!("no {first} in {table}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let table = juju.run(&["status"]);
        let offered = table.split("\n\n").find(|part| part.starts_with("Offer ")).expect(&table);
        assert_eq!(
            row(offered, "sample"),
            "sample sample sample 0 1/1 image github_runner_image_v0 provider"
        );
        let status = juju.json(&["status", "-m", "others"]);
        let saas = &status["application-endpoints"]["images"];
        assert_eq!(saas["url"], "rehearsal:admin/rehearsal.sample");
        assert_eq!(saas["application-status"]["current"], "active");
        assert_eq!(saas["relations"]["image"][0], "taker");
        let related = &status["applications"]["taker"]["relations"]["image"][0]["related-application"];
        assert_eq!(related, "images");
        let table = juju.run(&["status", "-m", "others", "--relations"]);
        assert_eq!(row(&table, "images"), "images active rehearsal admin/rehearsal.sample");
        let regular = ["images:image", "taker:image", "github_runner_image_v0", "regular"];
        assert!(table.lines().any(|line| line.split_whitespace().eq(regular)), "{table}");
        let offers = juju.run(&["offers"]);
        assert!(
            row(&offers, "sample").contains("admin") && row(&offers, "sample").contains("joined"),
            "{offers}"
        );
    });
}

#[test]
fn units_come_and_go_across_models() {
    kept(|juju| {
        related(juju);
        juju.run(&["add-unit", "-m", "others", "taker"]);
        message(juju, "rehearsal", "sample/0", |said| said.ends_with("/1 taker/1"));
        juju.run(&["remove-unit", "-m", "others", "--no-prompt", "taker/0"]);
        let one_is_left = |text: &str| {
            let shown: Value = serde_json::from_str(text).unwrap_or_default();
            let relations = shown["sample/0"]["relation-info"].as_array().cloned().unwrap_or_default();
            let image = relations.iter().find(|relation| relation["endpoint"] == "image").cloned();
            image.is_some_and(|image| {
                let units = image["related-units"].as_object().cloned().unwrap_or_default();
                units.len() == 1 && units.keys().all(|unit| unit.ends_with("/1"))
            })
        };
        juju.wait(&["show-unit", "sample/0", "--format", "json"], one_is_left);
    });
}

#[test]
fn a_relation_ends_on_both_sides_by_whatever_ends_it() {
    let ends: [&[&str]; 4] = [
        &["remove-relation", "-m", "others", "taker", "images"],
        &["remove-saas", "-m", "others", "images"],
        &["remove-offer", "--force", "--yes", "admin/rehearsal.sample"],
        &["destroy-model", "--no-prompt", "others"],
    ];
    for words in ends {
        kept(|juju| {
            related(juju);
            juju.run(words);
            message(juju, "rehearsal", "sample/0", |said| said == "alone");
            if words[0] != "destroy-model" {
                message(juju, "others", "taker/0", |said| said == "alone");
            }
        });
    }
}

#[test]
fn the_consumer_that_goes_departs() {
    kept(|juju| {
        related(juju);
        juju.run(&["remove-application", "-m", "others", "--no-prompt", "taker"]);
        message(juju, "rehearsal", "sample/0", |said| said == "alone");
        juju.run(&["remove-offer", "sample"]);
        assert!(juju.json(&["status"])["offers"].is_null());
        let status = juju.json(&["status", "-m", "others"]);
        assert_eq!(status["application-endpoints"]["images"]["application-status"]["current"], "terminated");
    });
}

#[test]
fn an_offer_that_is_used_keeps_its_application() {
    kept(|juju| {
        related(juju);
        let refusal = |words: &[&str]| juju.says(words).stderr;
        assert_eq!(
            refusal(&["remove-offer", "sample"]),
            "ERROR cannot delete application offer \"sample\": offer has 1 relation\n"
        );
        let said = refusal(&["remove-application", "--no-prompt", "sample"]);
        assert!(said.ends_with("application is used by 1 consumer\n"), "{said}");
        assert_eq!(
            refusal(&["integrate", "-m", "others", "taker", "rehearsal.other"]),
            "ERROR application offer \"admin/rehearsal.other\" not found\n"
        );
        assert_eq!(refusal(&["offer", "sample:beer"]).matches("has no \"beer\" relation").count(), 1);
        assert_eq!(refusal(&["offer", "sample"]).matches("endpoints must conform").count(), 1);
        let again = refusal(&["integrate", "-m", "others", "taker", "images"]);
        assert!(again.contains("already exists"), "{again}");
    });
}

#[test]
fn a_url_consumes_and_integrates_at_once() {
    kept(|juju| {
        juju.deploy(SPEAKS);
        juju.run(&["offer", "sample:image", "pictures"]);
        let said = juju.says(&["add-model", "others"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        // The new model is the current one.
        assert_eq!(juju.run(&["switch"]), "rehearsal:admin/others\n");
        let taker = juju.taker(SPEAKS);
        juju.run(&["deploy", &taker]);
        juju.run(&["integrate", "taker:image", "admin/rehearsal.pictures"]);
        message(juju, "others", "taker/0", |said| said == "pictures pictures/0 sample/0");
        assert_eq!(
            juju.says(&["switch", "rehearsal"]).stderr,
            "rehearsal:admin/others -> rehearsal:admin/rehearsal\n"
        );
        assert!(juju.run(&["models"]).contains("\nrehearsal*  "));
        assert_eq!(juju.json(&["status"])["model"]["name"], "rehearsal");
    });
}
