//! What is in an image that was built here, and what is not.

use crate::workbench::{Workbench, look_into};

#[test]
fn an_image_has_the_recipe_and_nothing_of_the_machine_that_built_it() {
    let bench = Workbench::complete();
    // What a package's script may do: start a service, leave something running, change the machine's settings.
    let script = "#!/bin/bash
        /usr/sbin/policy-rc.d && exit 9
        sleep 1000 & disown
        if echo 1 >/proc/sys/vm/swappiness; then exit 8; fi
        hostname changed
        mkdir -p /opt/mine; mount -t tmpfs none /opt/mine; touch /opt/mine/gone
        update-grub >/opt/grub.log 2>&1 || { cat /opt/grub.log >&2; exit 7; }
        touch /opt/script.ok\n";
    let url = bench.site.serve_script("here.sh", script);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let output = bench.build(&[&format!("script-url={url}")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), hostname);
    let seen = look_into(
        &bench.file(),
        bench.dir.path(),
        "for place in home/ubuntu/actions-runner/bin/Runner.Listener usr/local/bin/yq opt/script.ok usr/bin/jq \
             opt/hostedtoolcache home/ubuntu/actions-runner/.setup_info etc/sysctl.d/05-runner-image-builder.conf; do
             [ -e $place ] && echo has $place; done
         for place in usr/sbin/policy-rc.d opt/mine/gone dev/loop0 root/runner-image-builder-script; do
             [ ! -e $place ] || echo kept $place; done
         find . -xdev -name '*.before-build' -printf 'left %p\\n'
         find run tmp proc sys -mindepth 1 -type f -printf 'left %p\\n'
         listed=$(grep -o '\"architecture\":' usr/share/runner-image/manifest.json | wc -l)
         [ $listed = $(grep -c '^Status: .* ok installed$' var/lib/dpkg/status) ] && echo all packages are in the manifest
         echo jobs find $(grep -h ^ImageOS= home/ubuntu/actions-runner/.env)
         echo resolv $(readlink etc/resolv.conf)
         echo kernels start with $(grep -w linux boot/grub/grub.cfg | grep -o 'root=[A-Za-z/]*' | sort -u)
         echo size $(($(stat -f -c '%b*%S' .) >> 30))",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines,
        [
            "has home/ubuntu/actions-runner/bin/Runner.Listener",
            "has usr/local/bin/yq",
            "has opt/script.ok",
            "has usr/bin/jq",
            "has opt/hostedtoolcache",
            "has home/ubuntu/actions-runner/.setup_info",
            "has etc/sysctl.d/05-runner-image-builder.conf",
            "all packages are in the manifest",
            "jobs find ImageOS=ubuntu24",
            "resolv ../run/systemd/resolve/stub-resolv.conf",
            "kernels start with root=UUID",
            "size 19",
        ]
    );
    let builds = std::fs::read_dir(bench.folder().join("builds")).unwrap().count();
    assert_eq!(builds, 0, "the build's folder is gone");
}

#[test]
fn a_failed_recipe_is_named_and_leaves_nothing() {
    let bench = Workbench::complete();
    let url = bench.site.serve_script("broken.sh", "#!/bin/bash\necho no such luck >&2\nexit 3\n");
    let said = bench.failure(&[&format!("script-url={url}")]);
    assert!(said.contains("running the external script") && said.contains("no such luck"), "{said}");
    assert!(!bench.file().exists());
    assert_eq!(std::fs::read_dir(bench.folder().join("builds")).unwrap().count(), 0);
    assert_eq!(crate::kills::traces(&bench.root), [] as [String; 0]);
}
