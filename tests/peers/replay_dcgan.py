"""Replays a trace of models/dcgan.gmodel in PyTorch (double precision) and compares every loss and parameter.

usage: gmrun train models/dcgan.gmodel --steps 3 --trace DIR --out OUT && python3 replay_dcgan.py DIR
Needs torch and numpy. Exit status 1 when something is off by more than the tolerance.
"""
import csv
import sys

import numpy as np
import torch
import torch.nn.functional as F

folder = sys.argv[1]
trace = {}
for row in csv.DictReader(open(f"{folder}/index.csv")):
    trace[int(row["round"]), row["kind"], row["name"]] = f"{folder}/{row['file']}"
rounds = max(key[0] for key in trace)


def load(number, kind, name):
    return torch.tensor(np.load(trace[number, kind, name])).double()


def state(number, kind):
    return {key[2]: load(*key) for key in trace if key[0] == number and key[1] == kind}


def same_pad(x):  # SAME_UPPER of 5x5, stride 2, even sizes
    return F.pad(x, (1, 2, 1, 2))


def deconv(x, w, stride):
    y = F.conv_transpose2d(x, w, stride=stride)
    size = x.shape[2] * stride
    low = (y.shape[2] - size) // 2
    return y[:, :, low:low + size, low:low + size]


def generator(p, z):
    def norm(x, name):
        return F.batch_norm(x, None, None, p[f"{name}.scale"], p[f"{name}.shift"], True, 0, 1e-3)
    h = F.leaky_relu(norm(z @ p["generator.h0.Dense.W"], "generator.h0.BatchNorm"), 0.3).view(-1, 256, 7, 7)
    h = F.leaky_relu(norm(deconv(h, p["generator.h1.ConvTranspose2d.W"], 1), "generator.h1.BatchNorm"), 0.3)
    h = F.leaky_relu(norm(deconv(h, p["generator.h2.ConvTranspose2d.W"], 2), "generator.h2.BatchNorm"), 0.3)
    return torch.tanh(deconv(h, p["generator.image.ConvTranspose2d.W"], 2))


def discriminator(p, x, masks):
    h = F.conv2d(same_pad(x), p["discriminator.h1.Conv2d.W"], p["discriminator.h1.Conv2d.b"], 2)
    h = F.leaky_relu(h, 0.3) * masks[0] / 0.7
    h = F.conv2d(same_pad(h), p["discriminator.h2.Conv2d.W"], p["discriminator.h2.Conv2d.b"], 2)
    h = F.leaky_relu(h, 0.3) * masks[1] / 0.7
    return h.flatten(1) @ p["discriminator.logit.Dense.W"] + p["discriminator.logit.Dense.b"]


start = {k: v for k, v in state(1, "before").items() if not k.startswith("adversarial.")}
p = {k: v.clone().requires_grad_(not k.endswith((".m", ".v"))) for k, v in start.items()}
moments = {k: [torch.zeros_like(v), torch.zeros_like(v)] for k, v in p.items()}
worst = 0.0
for t in range(1, rounds + 1):
    masks = {c: [load(t, "draw", f"adversarial/{c}_logit/discriminator.{h}.Dropout") for h in ("h1", "h2")] for c in ("real", "fake")}
    fake = generator(p, load(t, "draw", "adversarial/z.RandomNormal"))
    real_logit = discriminator(p, load(t, "input", "image"), masks["real"])
    fake_logit = discriminator(p, fake, masks["fake"])
    g_loss = F.softplus(-fake_logit).mean()
    d_loss = F.softplus(-real_logit).mean() + F.softplus(fake_logit).mean()
    for name, loss in (("g_loss", g_loss), ("d_loss", d_loss)):
        ours = float(load(t, "report", name))
        worst = max(worst, abs(ours - loss.item()))
        print(f"round {t}  {name}  gmodel {ours:.8f}  PyTorch {loss.item():.8f}")
    names = {"g": [k for k in p if k.startswith("generator.") and p[k].requires_grad],
             "d": [k for k in p if k.startswith("discriminator.")]}
    grads = dict(zip(names["g"], torch.autograd.grad(g_loss, [p[k] for k in names["g"]], retain_graph=True)))
    grads.update(zip(names["d"], torch.autograd.grad(d_loss, [p[k] for k in names["d"]])))
    for k, g in grads.items():
        norm = float(load(t, "gradient_norm", k))
        assert abs(norm - float(g.norm())) < 1e-3 * float(g.norm()) + 1e-7, (k, norm, float(g.norm()))
        m, v = moments[k]
        m.mul_(0.9).add_(0.1 * g)
        v.mul_(0.999).add_(0.001 * g * g)
        rate = 1e-4 * (1 - 0.999 ** t) ** 0.5 / (1 - 0.9 ** t)
        with torch.no_grad():
            p[k] -= rate * m / (v.sqrt() + 1e-7)
after = state(rounds, "after")
off = 0.0
for k, v in p.items():
    if v.requires_grad:
        change = float((v.detach() - start[k]).norm())
        error = float((after[k] - v.detach()).norm())
        off = max(off, error / change)
        print(f"{k:40s} moved by {change:.6f}, differs by {error:.2e}")
print(f"losses differ by at most {worst:.2e}; parameters by at most {off:.2e} of the way they went")
sys.exit(not (worst < 1e-4 and off < 0.05))
