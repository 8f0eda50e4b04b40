#!/bin/sh
# Installs into a temporary folder and uses the result as others do: test_install.sh BUILD SOURCE
# The programs of examples/ and the pieces of C in docs/embedding.md are built with nothing but pkg-config; each program runs.
set -eu
build=$1
source=$2
for tool in meson pkg-config cc; do
    command -v $tool >/dev/null || { echo "there is no $tool"; exit 77; }
done
library=$(ls "$build"/libgmodel.so 2>/dev/null || true)
[ -n "$library" ] || { echo "the library is not a shared one"; exit 77; }
! nm -D "$library" | grep -qE '__(asan|tsan|ubsan)_' || { echo "the library wants a sanitizer in its programs"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "$*"
    exit 1
}
DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet || fail "meson install does not work"

# What is installed.
package=$(find "$work/root" -name gmodel.pc)
folder=$(dirname "$(dirname "$package")")
for file in libgmodel.so libgmodel.so.0; do
    [ -L "$folder/$file" ] || fail "$file is no link"
    [ -f "$folder/$file" ] || fail "$file leads to nothing"
done
! command -v readelf >/dev/null || readelf -d "$folder/libgmodel.so" | grep -q 'SONAME.*libgmodel\.so\.0\]' ||
    fail "the name of the library is not libgmodel.so.0"
export PKG_CONFIG_PATH="$(dirname "$package")" PKG_CONFIG_SYSROOT_DIR="$work/root"
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" OMP_WAIT_POLICY=passive
[ "$(pkg-config --libs-only-l gmodel | tr -d ' ')" = -lgmodel ] || fail "pkg-config asks for more than -lgmodel"
cd "$work"
flags=$(pkg-config --cflags --libs gmodel)
echo '#include <gmodel/gmodel.h>' >header.c
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c header.c -o header.o $flags || fail "the header is no C99"

# The programs.
for name in generate live run train; do
    extra=
    [ $name != live ] || extra=-pthread
    cc -Wall -Wextra -Werror "$source/examples/$name.c" -o $name $flags $extra || fail "examples/$name.c does not compile"
    [ "$(wc -l <"$source/examples/$name.c")" -le 60 ] || fail "examples/$name.c has more than 60 lines"
done
cat >tiny.gmodel <<'MODEL'
model tiny <gmodel = 1, opset = 21>
network draw (float[N, 4] z) => (float[N, 1, 8, 8] image) { image = Tanh(Reshape(Dense <64> (z), [0, 1, 8, 8])) }
step fit { minimize mean(draw(RandomNormal <shape = [N, 4]> ()) ^ 2) over draw with SGD <rate = 0.1> }
sample few { write image = draw(RandomNormal <shape = [9, 4], seed = 1> ()) }
train batch 8 epochs 2 of 20 iterations { fit }
MODEL
is_png() {
    head -c 4 "$1" | grep -q PNG || fail "$1 is no PNG"
}
./train circle.gmodel >train.txt || fail "train fails"
awk '/^step/ { last = $4; if (!first) first = $4 } END { exit !(last < first / 2) }' train.txt || fail "the loss does not fall"
./run circle.gmodel >run.txt || fail "run fails"
grep -q '^logit: \[1, 1\] [0-9.-]*$' run.txt || fail "run prints: $(cat run.txt)"
./run tiny.gmodel nothing.npy 2>run.txt && fail "run takes a file that is not there"
grep -q 'nothing.npy' run.txt || fail "run does not say what it misses: $(cat run.txt)"
./generate tiny.gmodel 5 || fail "generate fails"
is_png few.png
./live tiny.gmodel 40 || fail "live fails"
is_png live.png
"$build/gmrun" export tiny.gmodel --to tiny.onnx >/dev/null || fail "tiny.gmodel is not exported"
./run tiny.onnx | grep -q '^image: \[1, 1, 8, 8\]' || fail "run does not run an .onnx"
./generate tiny.onnx || fail "generate does not take an .onnx"
is_png grid.png

# What docs/format.md says is enough to read a checkpoint.
if command -v python3 >/dev/null; then
    reader="python3 $source/tests/peers/read_gmodel.py"
    $reader circle.gmodel >listed.txt || fail "the second reader fails"
    for line in 'model circle opset 21' 'source circle.gmodel of 10 lines' 'parameter inside.h.Dense.W float\[2, 32\] ' \
        'slot fit.inside.h.Dense.W.m float\[2, 32\] ' 'slot fit.inside.t int64 1000$' 'position gmodel.run int64\[3\] 1 128 0$' \
        "view [0-9]* nodes, inputs \['x'\] outputs \['logit'\]"; do
        grep -q "^$line" listed.txt || fail "the second reader does not list $line: $(cat listed.txt)"
    done
    "$build/gmrun" convert circle.gmodel circle-text.gmodel 2>/dev/null || fail "circle.gmodel is not converted into its text"
    $reader circle.gmodel --source | cmp - circle-text.gmodel || fail "the second reader reads another text"
    "$build/gmrun" convert --external-data --to binary tiny.gmodel outside.gmodel 2>/dev/null || fail "no data in a second file"
    $reader outside.gmodel | grep -q '^parameter draw.image.Dense.W float\[4, 64\] ' || fail "the second reader misses outside.gmodel.data"
fi

# The pieces of C in docs/embedding.md, as they stand: whole programs and declarations, or statements of a function.
awk '/^```c$/ { inside = 1; file = sprintf("piece-%02d.txt", ++count); next } /^```$/ { inside = 0 } inside { print > file }' \
    "$source/docs/embedding.md"
count=0
for piece in piece-*.txt; do
    [ -f "$piece" ] || break
    program=${piece%.txt}.c
    {
        echo '#include <gmodel/gmodel.h>'
        echo '#include <stdio.h>'
        echo '#include <stdlib.h>'
        echo '#include <string.h>'
        if grep -qE '^(static .*\(|int main)' "$piece"; then
            cat "$piece"
        else
            echo 'gm_status piece(gm_context *context, gm_model *model, gm_session *session, gm_trainer *trainer);'
            echo 'gm_status piece(gm_context *context, gm_model *model, gm_session *session, gm_trainer *trainer)'
            echo '{'
            echo 'gm_status status = GM_OK;'
            cat "$piece"
            echo '(void)context, (void)model, (void)session, (void)trainer;'
            echo 'return status;'
            echo '}'
        fi
    } >"$program"
    cc -Wall -Wno-unused-function -Wno-unused-variable -Wno-unused-but-set-variable -Werror -c "$program" -o piece.o \
        $(pkg-config --cflags gmodel) || fail "docs/embedding.md, piece ${piece#piece-}: $(cat "$piece")"
    count=$((count + 1))
done
echo "4 programs run, $count pieces of docs/embedding.md compile"
