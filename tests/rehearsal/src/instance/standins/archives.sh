# The archives that packages come from: who has which package, for which base and architecture.

# The package sources: a line with address, suite, keyring and architectures for each; - is what is not said.
sources() {
    awk '
        function told(i) {
            for (i = 1; i <= count && uri != ""; i++) print uri, suites[i], key, architectures
            uri = ""; count = 0; key = "-"; architectures = "-"
        }
        FNR == 1 || NF == 0 {told()}
        $1 == "URIs:" {uri = $2; sub("/$", "", uri)}
        $1 == "Suites:" {count = NF - 1; for (i = 2; i <= NF; i++) suites[i - 1] = $i}
        $1 == "Signed-By:" && NF > 1 {key = $2}
        $1 == "Architectures:" {architectures = $2; for (i = 3; i <= NF; i++) architectures = architectures "," $i}
        END {told()}' /etc/apt/sources.list.d/*.sources 2> /dev/null
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null | awk '
        $1 == "deb" {uri = $2; sub("/$", "", uri); print uri, $3, "-", "-"}'
}

# reach ADDRESS SUITE: the archives that the world has answer always, a mirror of the rehearsal does when it does.
reach() {
    case $1/ in
        *://*.ubuntu.com/* | https://cli.github.com/packages/* | https://ppa.launchpadcontent.net/dotnet/backports/*) ;;
        *)
            mkdir -p "$state"
            /.rehearsal/bin/curl --fail --silent --output "$state/InRelease" -- "$1/dists/$2/InRelease" ;;
    esac
}

# serves ADDRESS ARCHITECTURE: Ubuntu has two archives, each for some architectures.
serves() {
    case $1/ in
        *://archive.ubuntu.com/* | *://security.ubuntu.com/*) [[ " amd64 i386 " == *" $2 "* ]] ;;
        *://ports.ubuntu.com/*) [[ " arm64 armhf ppc64el riscv64 s390x " == *" $2 "* ]] ;;
    esac
}

# fixes ADDRESS SUITE ARCHITECTURE: what a security pocket of the rehearsal has, of which `reach` has just got the list.
fixes() {
    case $2 in
        *-security)
            ! grep -q '^SHA256:' "$state/InRelease" 2> /dev/null \
                || /.rehearsal/bin/curl --fail --silent -- "$1/dists/$2/main/binary-$3/Packages" ;;
    esac
}

# The architectures of which packages can be installed, the machine's own first.
architectures() { printf '%s\n' "$architecture"; cat "$state/foreign-architectures" 2> /dev/null; }

# fetch_lists ADDRESS SUITE KEYRING ARCHITECTURES
fetch_lists() {
    local address=$1 suite=$2 wanted of place list
    reach "$address" "$suite" || die 100 "E: Failed to fetch $address/dists/$suite/InRelease"
    [ "$3" = - ] || [ -s "$3" ] || die 100 "E: The repository '$address $suite InRelease' is not signed."
    wanted=${4//,/ }
    [ "$wanted" != - ] || wanted=$(architectures)
    printf 'Hit:1 %s %s InRelease\n' "$address" "$suite"
    place=${address#*://}
    for of in $wanted; do
        serves "$address" "$of" \
            || die 100 "E: Failed to fetch $address/dists/$suite/main/binary-$of/Packages  404  Not Found"
        list=/var/lib/apt/lists/${place//\//_}_dists_${suite}_main_binary-${of}_Packages
        printf 'known to the rehearsal\n' > "$list"
        fixes "$address" "$suite" "$of" >> "$list" || die 100 "E: Failed to fetch $address/dists/$suite/main/binary-$of/Packages"
    done
    rm -f "$state/InRelease"
}

# origin_of LIST: whose archive it is of, in `origin`.
origin_of() {
    case ${1##*/} in
        cli.github.com_*) origin=github ;;
        ppa.launchpadcontent.net_dotnet_backports_*) origin=dotnet ;;
        *) origin=ubuntu ;;
    esac
}

# offered NAME ARCHITECTURE: whether there is a candidate, by the lists that were fetched. Ubuntu has a package for all
# bases and architectures, unless `origins` says who has it for which.
offered() {
    local list origin name from bases architectures listed= has=
    exists "$1" || return 1
    for list in /var/lib/apt/lists/*_binary-"$2"_Packages; do
        [ -e "$list" ] || return 1
        origin_of "$list"
        listed=
        while read -r name from bases architectures; do
            [ "$name" = "$1" ] || continue
            listed=1
            [ "$from" = "$origin" ] || continue
            [ "$bases" = all ] || [[ ",$bases," == *",$series,"* ]] || continue
            [ "$architectures" = all ] || [[ ",$architectures," == *",$2,"* ]] || continue
            return 0
        done < /.rehearsal/origins
        [ -n "$listed" ] || [ $origin != ubuntu ] || has=1
    done
    [ -n "$has" ]
}

# choose NAME: puts the package to install into `chosen`, as apt does: the package itself, or of a virtual one the only
# package that provides it.
choose() {
    local name=${1%:*} of=$architecture virtual providers provider found=()
    case $1 in *:*) of=${1#*:} ;; esac
    chosen=$1
    if installed "$name" || offered "$name" "$of"; then return; fi
    while read -r virtual providers; do
        [ "$virtual" = "$name" ] || continue
        for provider in $providers; do
            if installed "$provider" || offered "$provider" "$of"; then found+=("$provider"); fi
        done
    done < /.rehearsal/virtual-packages
    case ${#found[@]} in
        0) errors+=("E: Unable to locate package $1"); return 1 ;;
        1) chosen=${found[0]}; printf "Note, selecting '%s' instead of '%s'\n" "$chosen" "$name" ;;
        *)
            printf 'Package %s is a virtual package provided by:\n' "$name"
            printf '  %s\n' "${found[@]}"
            printf 'You should explicitly select one to install.\n\n'
            errors+=("E: Package '$1' has no installation candidate")
            return 1 ;;
    esac
}
