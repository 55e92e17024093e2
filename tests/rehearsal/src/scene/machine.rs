//! The Debian packages of the units' machines: fresh ones that have none, and a package tool that notes what is
//! installed, for all machines of a scene alike. So a rehearsal never changes the machine that it runs on, and needs no
//! root.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' PACKAGE...`, as the charm asks; anything else is
/// unknown.
const DPKG_QUERY: &str = r#"#!/bin/sh
[ "$1" = --show ] && [ "$2" = '--showformat=${Package} ${db:Status-Status}\n' ] ||
    { echo "dpkg-query: the rehearsal does not know this: $*" >&2; exit 127; }
shift 2
code=0
for package; do
    if [ -e "${0%/*}/installed/$package" ]; then
        echo "$package installed"
    else
        echo "dpkg-query: no packages found matching $package" >&2
        code=1
    fi
done
exit $code
"#;

/// `apt-get [options] install PACKAGE...` and `update`.
const APT_GET: &str = r#"#!/bin/sh
verb=
while [ "$#" -gt 0 ]; do
    case $1 in
        --yes | --quiet | --no-install-recommends) ;;
        --option) shift ;;
        -*) echo "apt-get: the rehearsal does not know this: $1" >&2; exit 127 ;;
        install | update) verb=$1 ;;
        *)
            [ "$verb" = install ] || { echo "E: Invalid operation $1" >&2; exit 100; }
            : >"${0%/*}/installed/$1"
            echo "Setting up $1 ..." ;;
    esac
    shift
done
"#;

/// Where the tools lie, for PATH.
pub(super) fn tools(directory: &Path) -> PathBuf {
    directory.join("tools")
}

/// Writes them.
pub(super) fn install_tools(directory: &Path) -> io::Result<()> {
    let folder = tools(directory);
    fs::create_dir_all(folder.join("installed"))?;
    for (name, script) in [("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET)] {
        let path = folder.join(name);
        fs::write(&path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
