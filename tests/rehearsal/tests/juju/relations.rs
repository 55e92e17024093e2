//! Relations between two applications of the model.

use serde_json::Value;

use crate::kept::{Juju, kept};

/// Each tells its units' names, and shows what it is told.
const SPEAKS: &str = "
case $HOOK in
    image-relation-changed)
        relation-set name=$JUJU_UNIT_NAME
        status-set active \"$(relation-get name $JUJU_REMOTE_UNIT)\" ;;
    image-relation-broken) status-set active alone ;;
esac";

fn related(juju: &Juju) {
    juju.deploy(SPEAKS);
    let taker = juju.taker(SPEAKS);
    juju.run(&["deploy", &taker]);
    assert_eq!(juju.run(&["integrate", "sample:image", "taker"]), "");
    juju.wait_for_message("sample/0", "taker/0");
    juju.wait_for_message("taker/0", "sample/0");
}

fn relation<'v>(unit: &'v Value, name: &str, endpoint: &str) -> &'v Value {
    let all = unit[name]["relation-info"].as_array().unwrap();
    all.iter().find(|relation| relation["endpoint"] == endpoint).unwrap()
}

#[test]
fn what_one_side_writes_arrives_on_the_other() {
    kept(|juju| {
        related(juju);
        let unit = juju.json(&["show-unit", "taker/0"]);
        let image = relation(&unit, "taker/0", "image");
        assert_eq!(image["related-endpoint"], "image");
        assert_eq!(image["related-units"]["sample/0"]["data"]["name"], "sample/0");
        assert_eq!(image["local-unit"]["data"]["name"], "taker/0");
        let status = juju.json(&["status"]);
        assert_eq!(status["applications"]["sample"]["relations"]["image"][0]["related-application"], "taker");
        let table = juju.run(&["status", "--relations"]);
        let row = ["sample:image", "taker:image", "github_runner_image_v0", "regular"];
        assert!(table.lines().any(|line| line.split_whitespace().eq(row)), "{table}");
        let said = juju.says(&["integrate", "sample", "taker"]);
        assert!(said.stderr.contains("already exists"), "{said:?}");
    });
}

#[test]
fn each_side_meets_the_others_new_units_and_hears_of_those_that_go() {
    kept(|juju| {
        related(juju);
        juju.run(&["add-unit", "taker"]);
        juju.wait_for_message("taker/1", "sample/0");
        juju.wait_for_message("sample/0", "taker/1");
        juju.run(&["remove-unit", "--no-prompt", "taker/0"]);
        juju.wait_for(|status| status["applications"]["taker"]["units"]["taker/0"].is_null());
        let unit = juju.json(&["show-unit", "sample/0"]);
        let image = relation(&unit, "sample/0", "image");
        let others: Vec<&String> = image["related-units"].as_object().unwrap().keys().collect();
        assert_eq!(others, ["taker/1"]);
    });
}

#[test]
fn a_relation_that_is_removed_ends_on_both_sides() {
    kept(|juju| {
        related(juju);
        juju.run(&["remove-relation", "sample", "taker"]);
        juju.wait_for_message("sample/0", "alone");
        juju.wait_for_message("taker/0", "alone");
        let said = juju.says(&["remove-relation", "sample", "taker"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        juju.run(&["integrate", "sample", "taker"]);
        juju.wait_for_message("taker/0", "sample/0");
    });
}

#[test]
fn an_application_that_goes_leaves_the_other_alone() {
    kept(|juju| {
        related(juju);
        juju.run(&["remove-application", "--no-prompt", "sample"]);
        juju.wait_for_message("taker/0", "alone");
        juju.wait_for(|status| status["applications"]["sample"].is_null());
    });
}

#[test]
fn a_subordinate_has_a_unit_beside_each_of_its_principals() {
    kept(|juju| {
        juju.deploy("[ $HOOK != cos-agent-relation-joined ] || relation-set name=$JUJU_UNIT_NAME");
        juju.run(&["add-unit", "sample"]);
        juju.wait_for_message("sample/1", "ready");
        let collector = juju.collector(
            "[ $HOOK != cos-agent-relation-changed ] || status-set active \"$(relation-get name $JUJU_REMOTE_UNIT)\"",
        );
        juju.run(&["deploy", &collector]);
        juju.run(&["integrate", "sample:cos-agent", "collector"]);
        let collects = |status: &Value, principal: &str| {
            let units = &status["applications"]["sample"]["units"][principal]["subordinates"];
            let units = units.as_object().into_iter().flat_map(|units| units.values());
            units.map(|unit| unit["workload-status"]["message"].clone()).eq([Value::from(principal)])
        };
        juju.wait_for(|status| collects(status, "sample/0") && collects(status, "sample/1"));
        juju.run(&["add-unit", "sample"]);
        juju.wait_for(|status| collects(status, "sample/2"));
        juju.run(&["remove-unit", "--no-prompt", "sample/1"]);
        juju.wait_for(|status| status["applications"]["sample"]["units"]["sample/1"].is_null());
        let said = juju.says(&["integrate", "sample:cos-agent", "collector"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        juju.run(&["remove-relation", "sample:cos-agent", "collector"]);
        juju.wait_for(|status| {
            status["applications"]["sample"]["units"]["sample/0"]["subordinates"].is_null()
        });
    });
}

#[test]
fn what_does_not_fit_together_is_refused() {
    kept(|juju| {
        juju.deploy("");
        let refusal = |words: &[&str]| juju.says(words).stderr;
        assert_eq!(refusal(&["integrate", "sample", "nobody"]), "ERROR application \"nobody\" not found\n");
        assert_eq!(
            refusal(&["integrate", "sample:beer", "sample"]),
            "ERROR application \"sample\" has no \"beer\" relation\n"
        );
        assert_eq!(refusal(&["integrate", "sample", "sample"]), "ERROR no relations found\n");
    });
}
