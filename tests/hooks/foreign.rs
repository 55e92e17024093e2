//! What others have a say in, databags and clouds and the machine's other users: nothing of it reaches a log or a terminal
//! as it is, or leads us elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use runner_image_builder::record::{Failure, Remedy};
use serde_json::json;

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{NOBLE, Site};
use crate::publishing::{FIRST, written};

/// Would begin a line of its own in a log, clear a line of a terminal, and set its title.
const HOSTILE: &str = "p\n2026-11-28T00:00:00Z ERROR forged\u{1b}[2K\u{1b}]0;x\u{7}\u{9b}1m";

#[track_caller]
fn assert_printable(text: &str) {
    let bad = text.lines().find(|line| line.chars().any(char::is_control));
    assert_eq!(bad, None, "in {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("2026-11-28T00:00:00Z")), "{text}");
}

fn debug_log(site: &Site) -> String {
    site.model.debug_log().iter().map(|line| format!("{}\n", line.message)).collect()
}

#[test]
fn a_relation_whose_names_have_control_characters_is_not_used_and_the_log_says_why() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    let before = site.clouds_yaml();
    for key in ["project_name", "username", "user_domain_name", "project_domain_name", "auth_url"] {
        let other = Credentials::new(NOBODY, "others");
        let mut data = other.data();
        data.iter_mut().filter(|(name, _)| *name == key).for_each(|(_, value)| *value = HOSTILE);
        let second = site.app.integrate("image", "others", &[&data]).unwrap();
        let log = debug_log(&site);
        assert!(
            log.contains(&format!("the data of others/0 is not used: {key} contains control characters")),
            "{log}"
        );
        assert_printable(&log);
        assert_eq!(site.clouds_yaml(), before);
        let status = site.status();
        let why = format!("{} is not used: {key} contains control characters", second.id().unwrap());
        assert!(status.starts_with("maintenance: ") && status.contains(&why), "{status}");
        second.remove().unwrap();
    }
    assert!(!site.status().contains("is not used"), "{}", site.status());
    site.kill_worker();
    site.next_hook();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    assert_eq!(written(&site, &relation)["id"], FIRST, "the others are served");
}

#[test]
fn a_relation_that_is_refused_stands_in_the_status_with_the_reason_alone_and_beside_one_that_works() {
    let long = "x".repeat(70_000);
    for (key, value, why) in [
        ("auth_url", "http://169.254.169.254/v3", "its auth_url leads to this unit's own machine or link"),
        ("auth_url", "gopher://keystone", "auth_url begins with neither http:// nor https://"),
        ("password", long.as_str(), "password is longer than 64 KiB"),
        ("username", "a\u{1b}[2K", "username contains control characters"),
    ] {
        let plan = Plan::new().keystone(NOBODY);
        let site = plan.configured();
        let other = Credentials::new(NOBODY, "others");
        let mut data = other.data();
        data.iter_mut().filter(|(name, _)| *name == key).for_each(|(_, said)| *said = value);
        let refused = site.app.integrate("image", "others", &[&data]).unwrap();
        let reason = format!("{} is not used: {why}", refused.id().unwrap());
        site.assert_status(&format!("blocked: image integration required. {reason}."));
        let relation = site.app.integrate("image", "runners", &[&plan.project().data()]).unwrap();
        site.worker();
        site.kill_worker();
        site.end_job(Vec::new(), |journal| {
            let cloud = plan.project().cloud_of(&relation);
            journal.publish(crate::machine::image(FIRST, NOBLE, &cloud));
        });
        site.next_hook();
        let status = site.status();
        assert!(status.starts_with("active: noble-x64 ") && status.contains(&reason), "{status}");
        assert_eq!(written(&site, &relation)["id"], FIRST);
    }
}

#[test]
fn what_a_cloud_has_said_is_shown_and_not_obeyed() {
    let (site, _relation) = Plan::new().related();
    let failure = Failure {
        target: Some(NOBLE),
        cloud: None,
        message: HOSTILE.into(),
        remedy: Remedy::Operator,
        summary: String::new(),
        cause: Default::default(),
        since: None,
    };
    site.finish_job(vec![failure], |_| ());
    site.next_hook();
    let status = site.status();
    assert!(status.contains("forged\\u001b[2K"), "{status}");
    assert_printable(&status);
    let jobs = site.unit().exec("./dispatch jobs").unwrap().stdout;
    assert!(jobs.contains("p\\n2026-11-28T00:00:00Z ERROR forged"), "{jobs}");
    assert_printable(&jobs);
    let told = site.unit().exec("./dispatch jobs --json").unwrap().stdout;
    assert_printable(&told);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["journal"]["job"]["failures"][0]["message"], HOSTILE);
    let action = site.unit().run_action("run", json!({"bases": HOSTILE})).unwrap();
    assert!(action.message.contains("forged"), "{action:?}");
    assert_printable(&action.message);
    assert_printable(&debug_log(&site));
}

#[test]
fn a_folder_that_is_a_link_or_another_users_blocks_with_the_remedy_and_is_not_touched() {
    let (site, _relation) = Plan::new().settled();
    let elsewhere = site.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
    let host = site.host();
    for folder in [host.log_dir(), host.run_dir(), host.state_dir()] {
        let aside = folder.with_extension("aside");
        fs::rename(&folder, &aside).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        site.next_hook();
        let status = site.status();
        assert!(status.starts_with("blocked: The unit cannot work: using "), "{status}");
        assert!(status.contains("it is a symbolic link") && status.contains("remove it"), "{status}");
        assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
        site.next_hook();
        assert!(!site.status().starts_with("blocked: "), "{}", site.status());
        // Only root can give a folder away.
        if fs::metadata(&folder).unwrap().uid() == 0 {
            chown(&folder, Some(65534), None).unwrap();
            site.next_hook();
            let status = site.status();
            assert!(status.contains("belongs to user 65534") && status.contains("chown -R 0 "), "{status}");
            chown(&folder, Some(0), None).unwrap();
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_file_of_the_state_is_not_followed() {
    let (site, _relation) = Plan::new().settled();
    let journal = site.state_file("journal.json");
    let planted = site.dir.path().join("planted.json");
    fs::rename(&journal, &planted).unwrap();
    symlink(&planted, &journal).unwrap();
    site.next_hook();
    let status = site.status();
    assert!(
        status.starts_with("blocked: ") && status.contains("journal.json: it is a symbolic link"),
        "{status}"
    );
}

#[test]
fn a_process_that_is_not_ours_is_not_killed_for_holding_the_workers_lock() {
    let (site, _relation) = Plan::new().settled();
    let lock = site.state_file("worker.lock");
    let mut holder = Command::new("flock").arg(&lock).args(["sleep", "600"]).spawn().unwrap();
    site.model.wait_until("the lock", crate::machine::PATIENCE, || site.worker_lives()).unwrap();
    fs::write(&lock, holder.id().to_string()).unwrap();
    site.unit().fire("stop").unwrap();
    assert!(holder.try_wait().unwrap().is_none(), "it lives");
    let log = fs::read_to_string(format!("/proc/{}/comm", holder.id())).unwrap();
    assert_eq!(log.trim(), "flock");
    let sleeper = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
    Command::new("kill").args(sleeper.split_whitespace()).status().unwrap();
    holder.wait().unwrap();
}
