#!/bin/sh
# Gathers into a folder all of a Debian system that node needs: its program, the libraries it is linked with, and what scanners look
# for (release, packages, licences). No shell, no package manager, nobody but one user without a name for a login.
# Usage: root.sh FOLDER [NODE]
set -eu
root=$1
node=${2:-$(command -v node)}

mkdir -p "$root/usr/local/bin" "$root/etc" "$root/app"
cp "$node" "$root/usr/local/bin/node"
cp /etc/os-release "$root/etc/os-release"
# Names from /etc/hosts first, then from DNS: what the C library does anyway, said for those who read it.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'holdfast:x:65532:65532::/:/nonexistent' >"$root/etc/passwd"
echo 'holdfast:x:65532:' >"$root/etc/group"

for library in $(ldd "$node" | grep -o '/[^ ]*'); do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
  # A package may have listed the file below /usr, where /lib leads.
  package=$(dpkg -S "$library" 2>/dev/null || dpkg -S "/usr$library")
  package=${package%%:*}
  mkdir -p "$root/var/lib/dpkg/status.d" "$root/usr/share/doc/$package"
  dpkg -s "$package" >"$root/var/lib/dpkg/status.d/$package"
  cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
