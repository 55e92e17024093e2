//! `dispatch instance`: a machine of the cloud becomes a builder over ssh, and says clearly when it cannot.

use std::time::Instant;

use crate::cloud::Project;
use crate::machine::Machine;
use crate::scenario::case;

const RECORD: &str = "/etc/craft-instance.conf";
/// What the machine is to have beside what every builder has.
const WANTED: [&str; 8] = [
    "--hostname",
    "a builder!",
    "--package",
    "jq",
    "--snap",
    "hello=latest/edge",
    "--environment",
    "COLOUR=blue",
];

#[test]
fn a_machine_becomes_a_builder_over_ssh() {
    let before = Project::named("upload2").inventory();
    let started = Instant::now();
    let machine = Machine::launch(Project::named("upload2"));
    println!("    launched in {} s", started.elapsed().as_secs());
    case("waits for a machine, and for its network at most as long as it may", || waits(&machine));
    case("refuses to warm up what was never set up", || refuses_a_new_machine(&machine));
    case("refuses another system, and takes that for a set-up that did not end", || {
        refuses_another_system(&machine)
    });
    case("says so when its time is up", || keeps_its_time(&machine));
    case("says so when the connection breaks in the middle", || loses_its_connection(&machine));
    case("sets the machine up", || sets_up(&machine));
    case("sets it up once more", || sets_up_again(&machine));
    case("refuses what was set up as something else, or tampered with", || refuses_another_tag(&machine));
    case("warms it up while it boots", || warms_up_while_it_boots(&machine));
    drop(machine);
    assert_eq!(Project::named("upload2").inventory(), before, "nothing is left");
}

fn waits(machine: &Machine) {
    machine.does("wait", &[]);
    machine.inside("sed -i.bak \"s/^hosts:.*/hosts: files/\" /etc/nsswitch.conf");
    let said = machine.refuses("wait", &["--timeout", "30"]);
    assert!(said.contains("no name was resolved within "), "{said}");
    machine.inside("mv /etc/nsswitch.conf.bak /etc/nsswitch.conf");
}

fn refuses_a_new_machine(machine: &Machine) {
    let said = machine.refuses("warmup", &[]);
    assert!(said.contains(&format!("{RECORD} is absent or empty: it was never set up")), "{said}");
    assert!(said.contains("clean the instance and try again"), "{said}");
}

fn refuses_another_system(machine: &Machine) {
    let said = machine.refuses("setup", &["--alias", "jammy"]);
    assert!(said.contains("its system is \"Ubuntu\" \"24.04\", not Ubuntu 22.04"), "{said}");
    assert_eq!(machine.inside(&format!("cat {RECORD}")), "setup: false");
    unfinished(machine);
}

fn unfinished(machine: &Machine) {
    let said = machine.refuses("warmup", &[]);
    assert!(said.contains("its set-up did not finish"), "{said}");
}

fn keeps_its_time(machine: &Machine) {
    let said = machine.refuses("setup", &["--timeout", "12"]);
    let texts = ["the set-up timed out", "still running after", "did not answer", "could not be killed"];
    assert!(texts.iter().any(|text| said.contains(text)), "{said}");
    unfinished(machine);
    for (value, text) in
        [("0", "invalid timeout value 0"), ("-1", "invalid timeout value -1"), ("soon", "seconds, or none")]
    {
        let output = machine.dispatch("setup", &["--timeout", value]).output().expect("dispatch");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(text), "{said}");
    }
}

fn loses_its_connection(machine: &Machine) {
    let child = machine.begin("setup", &WANTED, "upgrading packages");
    machine.inside("pkill -KILL -u ubuntu -f sshd: --oldest");
    let output = child.wait_with_output().expect("dispatch");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("upgrading packages: reaching "), "{said}");
    unfinished(machine);
}

fn sets_up(machine: &Machine) {
    let steps = machine.does("setup", &WANTED);
    assert_eq!(steps.len(), 16, "{steps:?}");
    assert!(steps[15].starts_with("cleaning up, 16 of 16"), "{steps:?}");
    is_set_up(machine, "1");
}

fn is_set_up(machine: &Machine, revision: &str) {
    let record = machine.inside(&format!("cat {RECORD}"));
    for line in [
        "compatibility_tag: buildd-base-v7",
        "setup: true",
        "source: store",
        &format!("revision: '{revision}'"),
    ] {
        assert!(record.contains(line), "{record}");
    }
    assert_eq!(machine.inside("hostname"), "abuilder");
    let environment = machine.inside("cat /etc/environment");
    assert!(environment.contains("COLOUR=blue\n") && environment.contains("DEBIAN_FRONTEND=noninteractive"));
    let packages = "dpkg-query --show --showformat \"\\${Status} \\${Version}\\n\" jq build-essential snapd fuse apt-utils";
    let packages = machine.inside(packages);
    assert!(packages.lines().all(|line| line.starts_with("install ok installed 99~standin")), "{packages}");
    assert!(packages.contains("99~standin2"), "from noble-updates: {packages}");
    assert_eq!(machine.inside("getent hosts snapcraft.io | cut -d\" \" -f1"), "10.77.0.1");
    assert_eq!(
        machine.inside("systemctl is-active snapd systemd-resolved systemd-networkd"),
        "active\nactive\nactive"
    );
}

fn sets_up_again(machine: &Machine) {
    machine.does("setup", &WANTED);
    is_set_up(machine, "2");
}

fn refuses_another_tag(machine: &Machine) {
    let said = machine.refuses("warmup", &["--tag", "another"]);
    assert!(said.contains("its compatibility tag is \"buildd-base-v7\", not \"another\""), "{said}");
    machine.inside(&format!("cp {RECORD} /root/record"));
    for (text, problem) in
        [("setup: maybe", "invalid type"), ("setup: true\nother: 1", "unknown field `other`")]
    {
        machine.inside(&format!("printf \"{}\\n\" >{RECORD}", text.replace('\n', "\\n")));
        for operation in ["warmup", "setup"] {
            let said = machine.refuses(operation, &[]);
            assert!(said.contains(problem) && said.contains("clean the instance and try again"), "{said}");
        }
    }
    machine.inside(&format!(": >{RECORD}"));
    let said = machine.refuses("warmup", &[]);
    assert!(said.contains("is absent or empty"), "{said}");
    // What is not on the disk yet does not outlive the reset that follows.
    machine.inside(&format!("mv /root/record {RECORD} && sync"));
}

fn warms_up_while_it_boots(machine: &Machine) {
    let first = machine.inside("cat /proc/sys/kernel/random/boot_id");
    machine.boot_again();
    let steps = machine.does("warmup", &WANTED);
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert_ne!(machine.inside("cat /proc/sys/kernel/random/boot_id"), first);
    is_set_up(machine, "3");
    let said = machine.refuses("setup", &["--tag", "another"]);
    assert!(said.contains("its compatibility tag is"), "{said}");
    unfinished(machine);
}
