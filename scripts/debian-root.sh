#!/bin/sh
# Makes a Debian root folder (or tar file) for 32-bit x86 out of Debian's own packages, without root
# and without any container tool. See docs/guide.md.
set -eu

usage() {
    cat <<'END'
usage: debian-root.sh [-m MIRROR [-s SUITE]] DESTINATION [PACKAGE...]

Makes DESTINATION, a folder, or a tar file if its name ends in .tar or .tar.gz, with the PACKAGEs
(bash and coreutils if none are named) and all that they depend on.

Without -m, packages come from this host's own apt sources, which must be Debian's, through apt-get
on a state of its own: the host's package database is left alone.
  -m MIRROR   take packages from this mirror instead, with curl or wget: the address of the folder
              that holds dists/ and pool/, or such a folder on this host. Each package is compared
              with the SHA-256 sum in the mirror's list; the list's signature is not checked.
  -s SUITE    the suite on the mirror (stable if not given)

Needs tar, and dpkg-deb, or ar with the decompressor of the packages (xz or zstd).
END
}

fail() {
    echo "debian-root.sh: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# apt-get with a state folder of its own, which knows only the i386 architecture.
apt() {
    apt-get -qq -o APT::Architecture=i386 -o APT::Architectures::=i386 \
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Languages=none \
        -o APT::Install-Recommends=false "$@"
}

# Fetches packages with apt-get into $work/packages.
from_apt() {
    has apt-get || fail "there is no apt-get on this host: name a mirror with -m"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
    : >"$work/status"
    # Some side suites may be out of reach: what matters is whether the packages can be had.
    apt update >"$work/log" 2>&1 || true
    apt install --download-only -y "$@" >>"$work/log" 2>&1 || {
        tail -n 3 "$work/log" >&2
        fail "apt-get cannot fetch these packages for i386"
    }
    mv "$work"/cache/archives/*.deb "$work/packages/"
}

# Copies the file at an address below the mirror to a file of this host.
fetch() {
    case $mirror in
    *://*)
        if has curl; then
            curl -fsSL -o "$2" "$mirror/$1"
        elif has wget; then
            wget -q -O "$2" "$mirror/$1"
        else
            fail "there is neither curl nor wget on this host"
        fi
        ;;
    *) cp "$mirror/$1" "$2" 2>/dev/null ;;
    esac
}

# Writes the mirror's list of packages to $work/list.
fetch_list() {
    list="dists/$suite/main/binary-i386/Packages"
    for form in xz gz; do
        case $form in
        xz) has xz || continue ;;
        gz) has gzip || continue ;;
        esac
        fetch "$list.$form" "$work/list.$form" || continue
        case $form in
        xz) xz -dc "$work/list.xz" >"$work/list" ;;
        gz) gzip -dc "$work/list.gz" >"$work/list" ;;
        esac
        return 0
    done
    fetch "$list" "$work/list" || fail "there is no $list at $mirror"
}

# Prints "FILE SUM" for each named package and all that it depends on: of alternatives the first that
# there is, of what several packages provide the first one.
closure() {
    awk -v wanted="$*" '
        function take(name) {
            if (!(name in file) && (name in provider)) name = provider[name]
            if (!(name in file)) return 0
            if (!(name in taken)) { taken[name] = 1; queue[++last] = name }
            return 1
        }
        function plain(text) {
            gsub(/\([^)]*\)|\[[^]]*\]|<[^>]*>|:[a-z0-9]+|[ \t]/, "", text)
            return text
        }
        /^Package: /                { name = $2 }
        /^(Pre-)?Depends: /         { sub(/^[^:]*: /, ""); depends[name] = depends[name] "," $0 }
        /^Provides: /               { sub(/^[^:]*: /, ""); count = split($0, given, ",")
                                      for (i = 1; i <= count; i++) { p = plain(given[i]); if (!(p in provider)) provider[p] = name } }
        /^Filename: /               { file[name] = $2 }
        /^SHA256: /                 { sum[name] = $2 }
        END {
            count = split(wanted, names, " ")
            for (i = 1; i <= count; i++) if (!take(names[i])) { print "no package " names[i] > "/dev/stderr"; exit 1 }
            for (at = 1; at <= last; at++) {
                name = queue[at]
                print file[name], sum[name]
                groups = split(depends[name], group, ",")
                for (i = 1; i <= groups; i++) {
                    if (plain(group[i]) == "") continue
                    choices = split(group[i], choice, "|")
                    for (j = 1; j <= choices; j++) if (take(plain(choice[j]))) break
                    if (j > choices) { print name " needs " group[i] ", which there is not" > "/dev/stderr"; exit 1 }
                }
            }
        }' "$work/list"
}

# Fetches packages from the mirror into $work/packages.
from_mirror() {
    fetch_list
    closure "$@" >"$work/files" || fail "the mirror's $suite does not have what these packages need"
    while read -r file sum; do
        package="$work/packages/${file##*/}"
        fetch "$file" "$package" || fail "cannot fetch $file from $mirror"
        echo "$sum  $package" | sha256sum -c - >/dev/null 2>&1 || fail "$file is damaged"
    done <"$work/files"
}

# Writes the files of a package to standard output, as a tar file.
contents() {
    if has dpkg-deb; then
        dpkg-deb --fsys-tarfile "$1"
        return
    fi
    has ar || fail "there is neither dpkg-deb nor ar on this host"
    data=$(ar t "$1" | grep '^data\.tar')
    case $data in
    *.xz) ar p "$1" "$data" | xz -dc ;;
    *.zst) ar p "$1" "$data" | zstd -dc ;;
    *.gz) ar p "$1" "$data" | gzip -dc ;;
    *) ar p "$1" "$data" ;;
    esac
}

# What the packages' installation scripts would have done, as far as a shell needs it.
finish() {
    mkdir -p "$1/etc" "$1/root" "$1/tmp"
    chmod 1777 "$1/tmp"
    for name in passwd group; do
        [ -e "$1/etc/$name" ] && continue
        if [ -e "$1/usr/share/base-passwd/$name.master" ]; then
            sed 's/^\(root:\)\*/\1x/' "$1/usr/share/base-passwd/$name.master" >"$1/etc/$name"
        elif [ "$name" = passwd ]; then
            echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
        else
            echo 'root:x:0:' >"$1/etc/group"
        fi
    done
    for link in sh:dash sh:bash awk:mawk awk:gawk vi:vim.tiny; do
        name="$1/usr/bin/${link%%:*}" target=${link##*:}
        if [ ! -e "$name" ] && [ ! -h "$name" ] && [ -e "$1/usr/bin/$target" ]; then
            ln -s "$target" "$name"
        fi
    done
}

mirror='' suite=stable
while getopts m:s:h option; do
    case $option in
    m) mirror=${OPTARG%/} ;;
    s) suite=$OPTARG ;;
    h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || { usage >&2 && exit 2; }
destination=$1
shift
[ $# -ge 1 ] || set -- bash coreutils
[ ! -e "$destination" ] || fail "$destination is there already"
has tar || fail "there is no tar on this host"

work=$(mktemp -d "${TMPDIR:-/tmp}/debian-root.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/packages"
if [ -n "$mirror" ]; then from_mirror "$@"; else from_apt "$@"; fi

case $destination in
*.tar | *.tar.gz) root=$work/root ;;
*) root=$destination ;;
esac
# A merged /usr, as every Debian since bookworm has it.
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib"
for name in bin sbin lib; do ln -s "usr/$name" "$root/$name"; done
for package in "$work"/packages/*.deb; do
    contents "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$root" -f - ||
        fail "cannot unpack ${package##*/}"
done
finish "$root"
case $destination in
*.tar) tar -c --owner=0 --group=0 --numeric-owner -C "$root" -f "$destination" . ;;
*.tar.gz) tar -c --owner=0 --group=0 --numeric-owner -C "$root" -f - . | gzip >"$destination" ;;
esac
echo "$destination: $(find "$work/packages" -name '*.deb' | wc -l | tr -d ' ') packages"
