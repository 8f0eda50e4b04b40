"""Times in PyTorch what suite.py times in gmodel: a training step of a model of models/, or a pass of DCGAN's generator.

usage: python3 bench_torch.py NAME [--runs 7] [--threads 2]
NAME: dcgan (batch 256), dcgan-infogan, gan, vae, classifier (batch 128; both GANs: discriminator, then generator),
generator-1, generator-16, generator-256. Prints one line of JSON: median_ms, min_ms, peak_rss_bytes, peer. The steps are what a careful user
writes for the CPU: fused Adam, tensors made once, no transfer, no printing; channels-last and torch.compile are slower for these.
"""
import argparse
import json
import resource
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("bench_torch.py: %s has no PyTorch (pip install torch)" % sys.executable)
from torch import nn
from torch.nn import functional as F

WARM_UPS = 3


def dcgan_generator():
    def up(channels_in, channels, stride):
        return nn.ConvTranspose2d(channels_in, channels, 5, stride, padding=2, output_padding=stride - 1, bias=False)
    return nn.Sequential(
        nn.Linear(100, 256 * 7 * 7, bias=False), nn.BatchNorm1d(256 * 7 * 7, 1e-3), nn.LeakyReLU(0.3),
        nn.Unflatten(1, (256, 7, 7)),
        up(256, 128, 1), nn.BatchNorm2d(128, 1e-3), nn.LeakyReLU(0.3),
        up(128, 64, 2), nn.BatchNorm2d(64, 1e-3), nn.LeakyReLU(0.3),
        up(64, 1, 2), nn.Tanh())


def dcgan_discriminator():
    layers = []
    for channels_in, channels in (1, 64), (64, 128):
        layers += [nn.Conv2d(channels_in, channels, 5, 2, padding=2), nn.LeakyReLU(0.3), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 7 * 7, 1))


def says(logit, truth):
    """Cross entropy of logits with one label for all."""
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, truth))


def dcgan():
    """Both losses and both gradients from one forward pass, then both updates."""
    generator, discriminator = dcgan_generator(), dcgan_discriminator()
    adam_g = torch.optim.Adam(generator.parameters(), 1e-4, fused=True)
    adam_d = torch.optim.Adam(discriminator.parameters(), 1e-4, fused=True)
    weights_g, weights_d = [*generator.parameters()], [*discriminator.parameters()]
    image = 2 * torch.rand(256, 1, 28, 28) - 1

    def step():
        made = generator(torch.randn(256, 100))
        logit_real, logit_made = discriminator(image), discriminator(made)
        gradients = torch.autograd.grad(says(logit_made, 1.0), weights_g, retain_graph=True)
        gradients += torch.autograd.grad(says(logit_real, 1.0) + says(logit_made, 0.0), weights_d)
        for weight, gradient in zip(weights_g + weights_d, gradients):
            weight.grad = gradient
        adam_g.step()
        adam_d.step()
    return step


def in_turn(generator, discriminator, image):
    """A step of the discriminator, then one of the generator with fresh noise: the usual loop of two backward passes."""
    adam_g, adam_d = (torch.optim.Adam(n.parameters(), 1e-3, (0.5, 0.999), fused=True) for n in (generator, discriminator))

    def make():
        return generator(torch.empty(len(image), 96).uniform_(-1, 1))

    def step():
        adam_d.zero_grad()
        (says(discriminator(image), 1.0) + says(discriminator(make().detach()), 0.0)).backward()
        adam_d.step()
        adam_g.zero_grad()
        says(discriminator(make()), 1.0).backward()
        adam_g.step()
    return step


def dcgan_infogan():
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5), nn.LeakyReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 4 * 4, 1024), nn.LeakyReLU(), nn.Linear(1024, 1))
    generator = nn.Sequential(
        nn.Linear(96, 1024), nn.ReLU(), nn.BatchNorm1d(1024),
        nn.Linear(1024, 128 * 7 * 7), nn.ReLU(), nn.BatchNorm1d(128 * 7 * 7), nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, 2, padding=1), nn.ReLU(), nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, 1, 4, 2, padding=1), nn.Tanh())
    return in_turn(generator, discriminator, 2 * torch.rand(128, 1, 28, 28) - 1)


def dense(sizes, act):
    """Affine layers with act() between them."""
    layers = []
    for size_in, size in zip(sizes, sizes[1:]):
        layers += [nn.Linear(size_in, size), act()]
    return layers[:-1]


def gan():
    discriminator = nn.Sequential(*dense([784, 256, 256, 1], nn.LeakyReLU))
    generator = nn.Sequential(*dense([96, 1024, 1024, 784], nn.ReLU), nn.Tanh())
    return in_turn(generator, discriminator, 2 * torch.rand(128, 784) - 1)


def vae():
    encoder = nn.Sequential(*dense([784, 512, 256, 128, 2 * 20], nn.ReLU))
    decoder = nn.Sequential(*dense([20, 400, 600, 800, 784], nn.ReLU))
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3, fused=True)
    image = torch.rand(128, 784)

    def step():
        adam.zero_grad()
        mu, logvar = torch.split(encoder(2 * image - 1), 20, 1)
        code = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        recon = F.binary_cross_entropy_with_logits(decoder(code), image, reduction="sum")
        kl = 0.5 * torch.sum(logvar.exp() + mu * mu - 1 - logvar)
        ((recon + kl) / len(image)).backward()
        adam.step()
    return step


def classifier():
    network = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2),
                            nn.Linear(512, 10))
    rmsprop = torch.optim.RMSprop(network.parameters(), 1e-3, alpha=0.9)
    image, label = torch.rand(128, 784), torch.randint(10, (128,))

    def step():
        rmsprop.zero_grad()
        F.cross_entropy(network(image), label).backward()
        rmsprop.step()
    return step


def generation(batch):
    generator, code = dcgan_generator().eval(), torch.randn(batch, 100)

    @torch.inference_mode()
    def run():
        generator(code)
    return run


WORK = {"dcgan": dcgan, "dcgan-infogan": dcgan_infogan, "gan": gan, "vae": vae, "classifier": classifier,
        "generator-1": lambda: generation(1), "generator-16": lambda: generation(16), "generator-256": lambda: generation(256)}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("name", choices=WORK)
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    work = WORK[options.name]()
    times = []
    for _ in range(WARM_UPS + options.runs):
        before = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - before))
    times = sorted(times[WARM_UPS:])
    median = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    print(json.dumps({"name": options.name, "runs": options.runs, "threads": options.threads, "median_ms": median,
                      "min_ms": times[0], "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                      "peer": "PyTorch " + torch.__version__}))


if __name__ == "__main__":
    main()
