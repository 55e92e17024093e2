//! What a local build costs, beside the classic way of the same work on the same disk image: unpacked, grown, mounted,
//! two packages and a user in a chroot, packed with `qemu-img convert -c`. In turn, in one run. `make bench`; needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark says what it needs")]

#[path = "../tests/local_build/workbench.rs"]
#[allow(dead_code, reason = "it is shared with the tests")]
mod workbench;

use std::process::Command;
use std::time::{Duration, Instant};

use workbench::{Packages, Workbench, material};

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

fn main() {
    let bench = Workbench::complete();
    let packages = Packages::serve(&bench.dir.path().join("classic-packages.log"));
    // The first build fills the cache of base images, as the first of every release does.
    let first = timed(&mut bench.command("noble-x64", &[RECIPE]));
    let mut figures = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for _ in 0..ROUNDS {
        let scratch = tempfile::tempdir().unwrap();
        let mut classic = Command::new("unshare");
        classic.args(["--mount", "--propagation", "private", "bash", "-euc", CLASSIC]);
        classic.arg(material().join("base.qcow2")).arg(scratch.path()).arg(&packages.url);
        figures.0.push(timed(&mut classic));
        sizes.0 = scratch.path().join("image.qcow2").metadata().unwrap().len() >> 20;
        figures.1.push(timed(&mut bench.command("noble-x64", &[RECIPE])));
        sizes.1 = bench.file().metadata().unwrap().len() >> 20;
    }
    let (classic, local) = (median(figures.0), median(figures.1));
    println!("a disk image of 3.5 GB, two packages, a user; the median of {ROUNDS} rounds");
    println!("{:<34} {:>8} {:>8}", "", "s", "MiB");
    println!("{:<34} {classic:>8.1} {:>8}", "classic: raw, chroot, convert -c", sizes.0);
    println!("{:<34} {:>8.1} {:>8}", "local-build, base image not cached", first.as_secs_f64(), sizes.1);
    println!("{:<34} {local:>8.1} {:>8}", "local-build", sizes.1);
    println!("ratio {:.2}", local / classic);
}

fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed()
}

fn median(mut figures: Vec<Duration>) -> f64 {
    figures.sort();
    figures[figures.len() / 2].as_secs_f64()
}
