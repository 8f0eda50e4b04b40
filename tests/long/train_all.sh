#!/bin/sh
# Trains every model on the real MNIST as docs/results.md tells, and prints what their evaluations find. About two hours on
# two cores; not part of the test suite.
#   tests/long/train_all.sh DIR [OUT]      DIR: the folder of the MNIST files; OUT: where runs go (default: runs)
# GMRUN names the program (default: build/gmrun), CORPUS a text for the word vectors (default: the built-in one).
set -eu
data=${1:?the folder of the MNIST files}
out=${2:-runs}
gmrun=${GMRUN:-build/gmrun}
models=$(dirname "$0")/../../models
judge=$out/classifier/checkpoint.gmodel

train() { # name, model, options
    name=$1 model=$2
    shift 2
    echo "== $name: gmrun train models/$model.gmodel $*"
    "$gmrun" train "$models/$model.gmodel" --data "$data" --out "$out/$name" "$@" >"$out/$name.log"
    tail -n 2 "$out/$name.log"
    tail -n 1 "$out/$name/metrics.csv"
}

score() { # name, settings of models/inception.gmodel
    name=$1
    shift
    "$gmrun" eval "$models/inception.gmodel" --set judge_file="$judge" --set maker_file="$out/$name/checkpoint.gmodel" "$@"
}

mkdir -p "$out"
for seed in 1 2 3; do
    suffix=$([ $seed = 1 ] || echo $seed)
    train "classifier$suffix" classifier --seed "$seed"
    "$gmrun" eval "$out/classifier$suffix/checkpoint.gmodel" --data "$data"
done
for seed in 1 2 3; do
    suffix=$([ $seed = 1 ] || echo $seed)
    train "vae$suffix" vae --seed "$seed"
    "$gmrun" eval "$models/inception-vae.gmodel" --set judge_file="$judge" \
        --set maker_file="$out/vae$suffix/checkpoint.gmodel" --samples 100000
done
train minmax minmax
train gan gan
score gan
train lsgan lsgan
score lsgan
train gan-2018 gan-2018
score gan-2018 --set latent=20
train gan-noisy gan-noisy
score gan-noisy --set latent=20
train wgan wgan
score wgan --set latent=20 --set normal=1
train ring ring
train wgan-gp wgan-gp
train autoencoder autoencoder
train vae-mse vae-mse
train flow flow
train flow-affine flow-affine
train dcgan-infogan dcgan-infogan
score dcgan-infogan
train dclsgan dclsgan --set latent=10
score dclsgan --set latent=10
train dcgan-latent40 dcgan-latent40 --epochs 10
if [ -n "${CORPUS:-}" ]; then
    train skipgram skipgram --set corpus="$CORPUS" --set min_count=5 --set subsample=1e-4 --set batch=512
else
    train skipgram skipgram
fi
"$gmrun" eval "$out/skipgram/checkpoint.gmodel"
train dcgan dcgan
