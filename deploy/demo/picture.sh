#!/bin/sh
# picture.sh BINARY FILE: draws the terminal of `make run` (run.sh) as an SVG: one press by the demo, and one more from
# another terminal, as it is shown.
set -eu
binary=$(realpath "${1:?picture.sh BINARY FILE}")
file=${2:?picture.sh BINARY FILE}
here=$(cd "$(dirname "$0")" && pwd)
demo=$(dirname "$binary")/demo
columns=100

work=$(mktemp -d)
rm -rf "$demo"
"$here/run.sh" "$binary" >"$work/screen" 2>&1 &
shown=$!
stop() {
  trap - EXIT
  kill "$shown" 2>/dev/null || :
  wait "$shown" 2>/dev/null || :
  rm -rf "$work"
}
trap stop EXIT

wait_for() { # PATTERN COUNT: until so many lines of the screen match
  until [ "$(grep -c "$1" "$work/screen")" -ge "$2" ]; do
    kill -0 "$shown" || { cat "$work/screen" >&2; exit 1; }
    sleep 0.1
  done
}
wait_for 'Ctrl-C' 1
"$here/press.sh" "$demo/key" "http://127.0.0.1:${PORT:-8080}/doorpost" >/dev/null
wait_for '  button_press' 1

{
  echo '$ make run'
  sed "s#$(dirname "$here")#deploy#g; s#$demo#build/demo#g" "$work/screen"
} | fold -w "$columns" | awk -v columns="$columns" '
  { gsub(/&/, "\\&amp;"); gsub(/</, "\\&lt;"); gsub(/>/, "\\&gt;"); line[NR] = $0 }
  END {
    width = columns * 7.2 + 24; height = NR * 17 + 24
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", width, height, width, height
    print "<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#16181d\"/>"
    print "<g font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"12\" fill=\"#d7dae0\" xml:space=\"preserve\">"
    for (i = 1; i <= NR; i++)
      if (line[i] != "")
        printf "<text x=\"12\" y=\"%d\"%s>%s</text>\n", i * 17 + 10, line[i] ~ /"stored"/ ? " fill=\"#8fd694\"" : "", line[i]
    print "</g>\n</svg>"
  }' >"$work/picture"
mv "$work/picture" "$file"
