//! How long machines of an image take to boot: measured by the VM that verifies it, told wherever the image is shown, and
//! compared with the builds before.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Deployed, Fixture};

/// What a command on the unit prints.
#[track_caller]
fn said(fixture: &Fixture, command: &str) -> String {
    let output = fixture.unit().exec(&format!("./dispatch {command}")).unwrap();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{command}");
    output.stdout
}

#[track_caller]
fn shown(fixture: &Fixture, command: &str) -> Value {
    serde_json::from_str(&said(fixture, &format!("{command} --format json"))).unwrap()
}

/// What the history says of the target in the last job.
fn last_build(fixture: &Fixture) -> Value {
    shown(fixture, "history")["jobs"][0]["result"]["builds"][0].clone()
}

/// What the worker's log says at a level.
fn logged(fixture: &Fixture, level: &str) -> Vec<String> {
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    log.lines().filter(|line| line.contains(&format!(" {level} "))).map(str::to_owned).collect()
}

/// Builds with a script that sets up the image.
fn build_with(fixture: &Fixture, name: &str, script: &str) {
    let url = fixture.site.serve_script(name, &format!("#!/bin/bash\nset -eu\n{script}\n"));
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
}

#[test]
fn a_boot_is_measured_and_told_wherever_the_image_is_shown() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let image = shown(&fixture, "show-image noble-x64");
    let (boot, size) = (&image["boot"], &image["size"]);
    assert_eq!(
        (&boot["kernel_ms"], &boot["userspace_ms"], &boot["cloud_init_ms"]),
        (&json!(1873), &json!(7247), &json!(2000))
    );
    assert!(boot["runner_start_ms"].is_u64(), "{boot}");
    let text = said(&fixture, "show-image noble-x64");
    assert!(
        text.contains("\nboot: kernel 1.8 s, userspace 7.2 s, cloud-init 2.0 s, runner-start "),
        "{text}"
    );

    let build = last_build(&fixture);
    assert_eq!((&build["boot"], &build["size"], &build["slow_boot"]), (boot, size, &Value::Null));
    assert!(size.is_u64(), "{size}");
    let history = said(&fixture, "history");
    assert!(history.contains(" MiB; boot: kernel 1.8 s, userspace 7.2 s, "), "{history}");
    let rows = shown(&fixture, "list-images");
    let mut rows = rows.as_array().or(rows["images"].as_array()).unwrap().iter();
    assert!(rows.all(|row| row["boot"] == *boot), "the build and its copy");
    let list = said(&fixture, "list-images");
    assert!(list.lines().next().unwrap().contains("  BOOT") && list.contains(" 9.1 s "), "{list}");
    let metrics = said(&fixture, "metrics");
    for (phase, seconds) in [("kernel", "1.873"), ("userspace", "7.247"), ("cloud-init", "2.000")] {
        let sample = format!(
            "runner_image_builder_image_boot_seconds{{target=\"noble-x64\",phase=\"{phase}\"}} {seconds}\n"
        );
        assert!(metrics.contains(&sample), "no {sample} in {metrics}");
    }
    assert!(!metrics.contains("image_boot_median_seconds{"), "{metrics}");

    let (id, own) = (fixture.told(&relation, "id").unwrap(), image["build"].as_str().unwrap());
    for (project, id) in [("upload-project", id.as_str()), ("builder-project", own)] {
        let images = fixture.cloud.project(project).images();
        let properties = &images.iter().find(|image| image.id == id).unwrap().properties;
        for (part, seconds) in
            [("total", "9.120"), ("kernel", "1.873"), ("userspace", "7.247"), ("cloud_init", "2.000")]
        {
            let name = format!("runner_image_builder_boot_{part}_seconds");
            assert_eq!(properties.get(&name).map(String::as_str), Some(seconds), "{project}: {name}");
        }
        assert!(properties.contains_key("runner_image_builder_boot_runner_start_seconds"), "{properties:?}");
    }
}

#[test]
fn a_build_that_boots_slower_than_those_before_it_is_warned_about() {
    // The record of boots goes back further than the builds that are kept.
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    (0..2).for_each(|_| assert_eq!(fixture.build_again().failures, []));
    assert_eq!(last_build(&fixture)["slow_boot"], Value::Null, "as fast as the others");
    let unit = "[Service]\\nType=oneshot\\nExecStart=/usr/bin/sleep 30\\n";
    let slow = format!("printf '{unit}' >/etc/systemd/system/slow.service; systemctl enable slow.service");
    build_with(&fixture, "slow.sh", &slow);
    let build = last_build(&fixture);
    assert_eq!(build["slow_boot"], json!({"total_ms": 39_120, "median_ms": 9120, "builds": 3}));
    let words = "boots in 39.1 s, 328 % slower than the last 3 builds (median 9.1 s)";
    let history = said(&fixture, "history");
    assert!(history.contains(&format!("    warning: {words}\n")), "{history}");
    let warnings = logged(&fixture, "WARN");
    assert!(warnings.iter().any(|line| line.ends_with(&format!("noble-x64: {words}"))), "{warnings:?}");
    let metrics = said(&fixture, "metrics");
    for sample in [
        "image_boot_seconds{target=\"noble-x64\",phase=\"userspace\"} 37.247\n",
        "image_boot_median_seconds{target=\"noble-x64\"} 9.120\n",
    ] {
        assert!(metrics.contains(&format!("runner_image_builder_{sample}")), "no {sample} in {metrics}");
    }
    let told = fixture.model.debug_log();
    let told: Vec<String> = told.iter().map(|line| format!("{line:?}")).collect();
    assert!(told.iter().any(|line| line.contains(words)), "the unit's log has it too: {told:?}");
}

#[test]
fn what_a_machine_says_of_its_boot_decides_nothing() {
    let fixture = Fixture::set(&[]);
    let nonsense = "rm /usr/bin/systemctl /usr/sbin/systemctl
        cat >/usr/bin/systemctl <<'END'
#!/bin/bash
case $* in
    'show --property='*) printf 'UserspaceTimestampMonotonic=\\033[2J\\nFinishTimestampMonotonic=99999999999999999999\\n' ;;
    *) exec /.rehearsal/bin/systemctl \"$@\" ;;
esac
END
        chmod 755 /usr/bin/systemctl; cp /usr/bin/systemctl /usr/sbin/systemctl";
    let url = fixture.site.serve_script("nonsense.sh", &format!("#!/bin/bash\nset -eu\n{nonsense}\n"));
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let boot = &last_build(&fixture)["boot"];
    assert_eq!((&boot["kernel_ms"], &boot["userspace_ms"]), (&Value::Null, &Value::Null), "{boot}");
    assert_eq!(boot["cloud_init_ms"], 2000, "what makes sense is taken");
    let warnings = logged(&fixture, "WARN");
    let warned =
        warnings.iter().find(|line| line.contains("its boot times: UserspaceTimestampMonotonic is "));
    assert!(warned.expect("a warning").contains("\\u001b[2J"), "{warnings:?}");
    let id = fixture.told(&relation, "id").unwrap();
    let images = fixture.cloud.project("upload-project").images();
    let properties = &images.iter().find(|image| image.id == id).unwrap().properties;
    assert!(!properties.contains_key("runner_image_builder_boot_total_seconds"), "{properties:?}");
    // Nothing is measured of an image that is not booted.
    fixture.app.set_config(&[("verify-image", "false")]).unwrap();
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(shown(&fixture, "show-image noble-x64")["boot"], Value::Null);
}
