#!/usr/bin/env bash
# Looks at a page in a real browser: report_in_browser.sh RUN|PAGE.html SCREENSHOTS
#
# Takes screenshots (light, dark, and a phone of 360 x 800) into the folder SCREENSHOTS, and fails when the page logs
# an error, is wider than the screen, asks for anything from outside, or tells no numbers under the pointer.
# CHROMIUM names the browser where it is not `chromium`.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 RUN|PAGE.html SCREENSHOTS" >&2
    exit 2
fi
page=$1
[ -d "$page" ] && page=$page/report.html
[ -f "$page" ] || { echo "$page: no such page" >&2; exit 1; }
mkdir -p "$2"
screenshots=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The page itself, with a script behind it that tells the frame around it what it found.
cp "$page" "$work/page.html"
cat >> "$work/page.html" <<'SCRIPT'
<script>
"use strict";
addEventListener("load", () => requestAnimationFrame(() => {
  const hovers = [...document.querySelectorAll(".hover")];
  for (const hover of hovers) {
    const box = hover.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + 9, bubbles: true };
    hover.dispatchEvent(new PointerEvent("pointermove", at));
  }
  const told = hovers.filter((hover) => /step \d+/.test(hover.textContent)).length;
  const outside = performance.getEntriesByType("resource").length;
  const width = document.documentElement.scrollWidth;
  const height = document.documentElement.scrollHeight;
  const charts = document.querySelectorAll(".plot").length;
  for (const hover of hovers) hover.dispatchEvent(new PointerEvent("pointerleave"));
  parent.postMessage({ width, height, charts, told, outside, screen: innerWidth }, "*");
}));
</script>
SCRIPT

browser() {
    "${CHROMIUM:-chromium}" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
        --allow-file-access-from-files --user-data-dir="$work/profile" --enable-logging=stderr --log-level=0 "$@"
}

# A frame of the width of the screen: a browser's own window may have a least width.
frame() { # width, height
    cat > "$work/frame.html" <<FRAME
<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#888}iframe{border:0;display:block}</style>
<iframe src="page.html" width="$1" height="$2"></iframe>
<script>addEventListener("message", (event) => { document.body.dataset.found = JSON.stringify(event.data); });</script>
FRAME
}

failed=0
look() { # name, width, height of the screen, colour scheme (0 dark, 1 light)
    local found height tall
    frame "$2" "$3"
    # A browser that has just made its profile may end before the page has told anything.
    for _ in 1 2 3; do
        found=$(browser --window-size="$(($2 > 520 ? $2 : 520)),$3" --virtual-time-budget=4000 --dump-dom \
            "file://$work/frame.html" 2> "$work/log" | grep -o 'data-found="[^"]*"' | sed 's/&quot;/"/g') || true
        [ -z "$found" ] || break
    done
    if grep -q 'CONSOLE' "$work/log"; then
        grep 'CONSOLE' "$work/log" >&2
        failed=1
    fi
    number() { grep -o "\"$1\":[0-9]*" <<< "$found" | cut -d: -f2; }
    height=$(number height || true)
    if [ -z "$height" ]; then
        echo "$1: the page told nothing" >&2
        failed=1
        return
    fi
    [ "$(number width)" -le "$(number screen)" ] || { echo "$1: $(number width) wide on $(number screen)" >&2; failed=1; }
    [ "$(number outside)" -eq 0 ] || { echo "$1: $(number outside) things from outside" >&2; failed=1; }
    [ "$(number told)" -eq "$(number charts)" ] || { echo "$1: $(number told) of $(number charts) charts tell numbers" >&2; failed=1; }
    tall=$((height < 14000 ? height : 14000))
    for shot in "screen $3" "whole $tall"; do
        set -- "$1" "$2" "$3" "$4" $shot
        frame "$2" "$6"
        browser --window-size="$(($2 > 520 ? $2 : 520)),$6" --blink-settings=preferredColorScheme="$4" \
            --virtual-time-budget=4000 --screenshot="$screenshots/$1-$5.png" "file://$work/frame.html" 2> /dev/null
    done
    echo "$1: $2 wide, $height high, $(number charts) charts"
}

# The picture of the README, docs/images/report.png, is light-screen.png of the default run.
look light 1280 1000 1
look dark 1280 1000 0
look phone 360 800 1
look phone-dark 360 800 0
exit $failed
