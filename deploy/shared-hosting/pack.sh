#!/bin/sh
# pack.sh BUILD VERSION: packs BUILD/doorpost-VERSION-linux-MACHINE.tar.gz from the static programs in BUILD. The same sources give
# the same bytes: names in order, no owners, and one date for all, SOURCE_DATE_EPOCH.
set -eu
build=${1:?pack.sh BUILD VERSION}
version=${2:?pack.sh BUILD VERSION}
here=$(cd "$(dirname "$0")" && pwd)
name=doorpost-$version-linux-$(uname -m)
umask 022

rm -rf "${build:?}/$name"
mkdir -p "$build/$name/doorpost/journal" "$build/$name/doorpost/door"
cp -R "$here/cgi-bin" "$here/doorpost" "$here/install.sh" "$here/INSTRUCTIONS.md" "$here/../../LICENSE" "$build/$name"
strip -o "$build/$name/cgi-bin/doorpost.cgi" "$build/doorpost.cgi"
strip -o "$build/$name/cgi-bin/door.cgi" "$build/doorpost-door.cgi"
strip -o "$build/$name/doorpost/doorpost" "$build/doorpost"
(
  cd "$build/$name"
  find . -type f -exec chmod 644 {} +
  chmod 755 install.sh cgi-bin/doorpost.cgi cgi-bin/door.cgi
  chmod 700 doorpost doorpost/journal doorpost/door doorpost/doorpost
  chmod 600 doorpost/key doorpost/client doorpost/doorpost.env
)
tar --sort=name --format=ustar --mtime="@${SOURCE_DATE_EPOCH:?}" --owner=0 --group=0 --numeric-owner -C "$build" -cf - "$name" |
  gzip -n9 >"$build/$name.tar.gz.new"
mv "$build/$name.tar.gz.new" "$build/$name.tar.gz"
echo "$build/$name.tar.gz"
