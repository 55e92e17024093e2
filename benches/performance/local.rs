//! What a local build costs, beside the classic way of the same work on the same disk image: unpacked, grown, mounted, two
//! packages and a user in a chroot, packed with `qemu-img convert -c`. Needs root and loop devices.

#[path = "../../tests/local_build/workbench.rs"]
#[allow(dead_code, reason = "it is shared with the tests")]
mod workbench;

use std::process::Command;
use std::time::Instant;

use self::workbench::{Packages, Workbench, material};
use crate::Setting;
use crate::pairs::{in_pairs, median, ratio};
use crate::report::{Figure, Report};

const ROUNDS: usize = 3;

const RECIPE: &str =
    "recipe=packages: [jq, socat]\nusers: [{name: ubuntu}]\nrunner: [{github: actions/runner}]\n";

/// Arguments: the base image, a scratch folder, the apt mirror.
const CLASSIC: &str = r#"
base=$0 work=$1 mirror=$2
qemu-img convert -O raw "$base" "$work/disk.raw"
truncate -s +2G "$work/disk.raw"
echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel -N 1 "$work/disk.raw"
start=$(($(sfdisk --json "$work/disk.raw" | python3 -c 'import json, sys
print([part["start"] for part in json.load(sys.stdin)["partitiontable"]["partitions"] if part.get("name") == "root"][0])') * 512))
loop=$(losetup --find --show --offset $start "$work/disk.raw")
trap 'umount -R "$work/root" 2>/dev/null || true; losetup -d $loop 2>/dev/null || true' EXIT
e2fsck -fp $loop >/dev/null || [ $? -le 1 ]
resize2fs $loop 2>/dev/null
mkdir "$work/root"; mount $loop "$work/root"
mount --bind /dev "$work/root/dev"; mount -t proc none "$work/root/proc"; mount -t sysfs none "$work/root/sys"
rm -f "$work/root/etc/apt/sources.list" "$work/root/etc/apt/sources.list.d"/*
echo "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] $mirror noble main universe" \
    >"$work/root/etc/apt/sources.list"
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$work/root" "$@"; }
inside apt-get -q -y update >/dev/null
inside apt-get -q -y install --no-install-recommends jq socat >/dev/null
inside useradd --create-home somebody
umount -R "$work/root"; losetup -d $loop
qemu-img convert -f raw -O qcow2 -c "$work/disk.raw" "$work/image.qcow2"
"#;

pub fn measure(setting: &Setting, report: &mut Report) {
    report.group("A local build: a disk image of 3.5 GB, two packages, a user");
    if setting.quick {
        return report.leave_out("a local build beside the classic way", "it takes minutes");
    }
    if !std::path::Path::new("/dev/loop-control").exists() || !is_root() {
        return report.leave_out("a local build beside the classic way", "it needs root and loop devices");
    }
    let bench = Workbench::complete();
    let packages = Packages::serve(&bench.dir.path().join("classic-packages.log"));
    // The first build fills the cache of base images, as the first of every release does.
    let first = seconds(&mut bench.command("noble-x64", &[RECIPE]));
    report.add(Figure::new("the base image not cached", first, "s"));
    let (mut classic_size, mut local_size) = (0, 0);
    let local = || {
        let took = seconds(&mut bench.command("noble-x64", &[RECIPE]));
        local_size = bench.file().metadata().unwrap().len() >> 20;
        took
    };
    let classic = || {
        let scratch = tempfile::tempdir().unwrap();
        let mut classic = Command::new("unshare");
        classic.args(["--mount", "--propagation", "private", "bash", "-euc", CLASSIC]);
        classic.arg(material().join("base.qcow2")).arg(scratch.path()).arg(&packages.url);
        let took = seconds(&mut classic);
        classic_size = scratch.path().join("image.qcow2").metadata().unwrap().len() >> 20;
        took
    };
    let pairs = in_pairs(ROUNDS, local, classic);
    let value = median(pairs.iter().map(|(local, _)| *local));
    report.add(Figure::new("the base image cached", value, "s").ratio(ratio(&pairs), "the classic way"));
    report.add(Figure::new("size of the image", local_size as f64, "MiB"));
    report.add(Figure::new("size of the image made in the classic way", classic_size as f64, "MiB"));
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn seconds(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64()
}
