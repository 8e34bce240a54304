"""VAR's transformer, quantizer and tokenizer spelled in PyTorch from the paper and the layout in README.md, and values by
the recipe: what make_model_variants.py makes its fixtures with. A model here is its configuration and a dict of weights.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F


# --- Values ---

def mixed(key, count, salt):
    h = 0xCBF29CE484222325
    for c in key.encode():
        h = (h ^ c) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(h ^ salt) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fill(key, shape, center, amp, salt):
    u = (mixed(key, math.prod(shape), salt) >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return torch.tensor((center + (2 * u - 1) * amp).astype(np.float32).reshape(shape)).double()


def fill_integers(key, shape, bound, salt):
    z = (mixed(key, math.prod(shape), salt) >> np.uint64(33)) % np.uint64(bound)
    return torch.tensor(z.astype(np.int64).reshape(shape))


# --- The transformer ---

def var_parameters(c):
    """[key, shape, center, amplitude] in the order of the official state_dict."""
    C, S, L, first = c["embed_dim"], len(c["patch_nums"]), sum(p * p for p in c["patch_nums"]), c["patch_nums"][0] ** 2
    hidden = round(C * c["mlp_ratio"])
    w = lambda n: math.sqrt(3.0 / n)
    rows = [["pos_start", [1, first, C], 0, 0.5], ["pos_1LC", [1, L, C], 0, 0.5], ["word_embed.weight", [C, c["Cvae"]], 0, 0.5],
            ["word_embed.bias", [C], 0, 0.2], ["class_emb.weight", [c["num_classes"] + 1, C], 0, 0.5],
            ["lvl_embed.weight", [S, C], 0, 0.5]]
    if c["shared_aln"]:
        rows += [["shared_ada_lin.1.weight", [6 * C, C], 0, 0.5 * w(C)], ["shared_ada_lin.1.bias", [6 * C], 0, 0.25]]
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        if c["shared_aln"]:
            rows.append([b + "ada_gss", [1, 1, 6, C], 0, 0.4])
        if c["attn_l2_norm"]:
            rows.append([b + "attn.scale_mul_1H11", [1, c["num_heads"], 1, 1], 1.4, 0.5])
        rows += [[b + "attn.q_bias", [C], 0, 0.2], [b + "attn.v_bias", [C], 0, 0.2],
                 [b + "attn.mat_qkv.weight", [3 * C, C], 0, w(C)], [b + "attn.proj.weight", [C, C], 0, w(C)],
                 [b + "attn.proj.bias", [C], 0, 0.2], [b + "ffn.fc1.weight", [hidden, C], 0, w(C)],
                 [b + "ffn.fc1.bias", [hidden], 0, 0.2], [b + "ffn.fc2.weight", [C, hidden], 0, w(hidden)],
                 [b + "ffn.fc2.bias", [C], 0, 0.2]]
        if not c["shared_aln"]:
            rows += [[b + "ada_lin.1.weight", [6 * C, C], 0, 0.5 * w(C)], [b + "ada_lin.1.bias", [6 * C], 0, 0.25]]
    return rows + [["head_nm.ada_lin.1.weight", [2 * C, C], 0, 0.5 * w(C)], ["head_nm.ada_lin.1.bias", [2 * C], 0, 0.25],
                   ["head.weight", [c["vocab_size"], C], 0, w(C)], ["head.bias", [c["vocab_size"]], 0, 0.2]]


class Transformer:
    def __init__(self, config, state):
        self.c, self.s = config, state
        self.ends = np.cumsum([p * p for p in config["patch_nums"]])
        self.level = torch.tensor(np.repeat(np.arange(len(self.ends)), [p * p for p in config["patch_nums"]]))

    def linear(self, x, name):
        return F.linear(x, self.s[name + ".weight"], self.s[name + ".bias"])

    def norm(self, x):
        return F.layer_norm(x, x.shape[-1:], eps=self.c["norm_eps"])

    def attend(self, x, i):
        b, H = f"blocks.{i}.attn.", self.c["num_heads"]
        B, l, C = x.shape
        bias = torch.cat([self.s[b + "q_bias"], torch.zeros(C), self.s[b + "v_bias"]])
        q, k, v = F.linear(x, self.s[b + "mat_qkv.weight"], bias).view(B, l, 3, H, C // H).permute(2, 0, 3, 1, 4)
        if self.c["attn_l2_norm"]:
            q = F.normalize(q, dim=-1) * self.s[b + "scale_mul_1H11"].clamp(max=math.log(100)).exp()
            k = F.normalize(k, dim=-1)
        else:
            q = q * (0.25 / math.sqrt(C // H))
        hidden = self.level[:l, None] < self.level[None, :l]
        y = (q @ k.transpose(-2, -1)).masked_fill(hidden, -math.inf).softmax(-1) @ v
        return self.linear(y.transpose(1, 2).reshape(B, l, C), b + "proj")

    def forward(self, label, x, trace=None):
        """x (B, l - first, Cvae). `trace` receives what happens on the way."""
        trace = {} if trace is None else trace
        C = self.c["embed_dim"]
        cond = self.s["class_emb.weight"][label]
        h = torch.cat([cond[:, None] + self.s["pos_start"], self.linear(x, "word_embed")], 1)
        l = h.shape[1]
        h = h + self.s["lvl_embed.weight"][self.level[:l]] + self.s["pos_1LC"][:, :l]
        trace["x_in"] = h
        shared = None
        if self.c["shared_aln"]:
            shared = self.linear(F.silu(cond), "shared_ada_lin.1").view(-1, 1, 6, C)
        trace["cond_BD_or_gss"] = cond if shared is None else shared
        for i in range(self.c["depth"]):
            b = f"blocks.{i}."
            six = self.linear(F.silu(cond), b + "ada_lin.1").view(-1, 1, 6, C) if shared is None else shared + self.s[b + "ada_gss"]
            g1, g2, s1, s2, t1, t2 = six.unbind(2)
            h = h + g1 * self.attend(self.norm(h) * (1 + s1) + t1, i)
            m = self.linear(self.norm(h) * (1 + s2) + t2, b + "ffn.fc1")
            h = h + g2 * self.linear(F.gelu(m, approximate="tanh"), b + "ffn.fc2")
            trace[f"block_{i}"] = h
        scale, shift = self.linear(F.silu(cond), "head_nm.ada_lin.1").view(-1, 1, 2, C).unbind(2)
        trace["head_nm"] = self.norm(h) * (1 + scale) + shift
        return self.linear(trace["head_nm"], "head")


# --- The tokenizer ---

def phi_index(s, scales, phis):
    start = 1 / 3 / phis if phis == 4 else 1 / 2 / phis
    at = s / (scales - 1) if scales > 1 else 0
    return int(np.argmin(np.abs(np.linspace(start, 1 - start, phis) - at)))


def quantizer_parameters(c, prefix=""):
    C, K, S = c["Cvae"], c["share_quant_resi"], len(c["v_patch_nums"])
    names = ["qresi"] if K == 1 else [f"{k}" for k in range(S)] if K == 0 else [f"qresi_ls.{k}" for k in range(K)]
    rows = []
    for name in names if abs(c["quant_resi"]) > 1e-6 else []:
        rows += [[f"{prefix}quant_resi.{name}.weight", [C, C, 3, 3], 0, 1 / math.sqrt(3 * C)],
                 [f"{prefix}quant_resi.{name}.bias", [C], 0, 0.2]]
    return rows + [[prefix + "embedding.weight", [c["vocab_size"], C], 0, 1.5]]


class Quantizer:
    def __init__(self, config, state, prefix=""):
        self.c, self.s, self.prefix = config, state, prefix
        self.pn = config["v_patch_nums"]
        self.margin = math.inf  # the smallest lead of a chosen code

    def phi(self, s, h):
        K, q = self.c["share_quant_resi"], abs(self.c["quant_resi"])
        if q <= 1e-6:
            return h
        k = phi_index(s, len(self.pn), K if K > 0 else len(self.pn))
        name = self.prefix + "quant_resi." + ("qresi" if K == 1 else str(k) if K == 0 else f"qresi_ls.{k}")
        return h * (1 - q) + q * F.conv2d(h, self.s[name + ".weight"], self.s[name + ".bias"], padding=1)

    def choose(self, rows):
        codes = self.s[self.prefix + "embedding.weight"].detach()
        if self.c["using_znorm"]:
            distance = -F.normalize(rows, dim=-1) @ F.normalize(codes, dim=-1).T
        else:
            distance = torch.cdist(rows, codes) ** 2
        two = distance.topk(2, largest=False).values
        self.margin = min(self.margin, (two[:, 1] - two[:, 0]).min().item())
        return distance.argmin(1)

    def contribution(self, s, index):
        p, P = self.pn[s], self.pn[-1]
        h = self.s[self.prefix + "embedding.weight"][index].view(-1, p, p, self.c["Cvae"]).permute(0, 3, 1, 2)
        return self.phi(s, h if s == len(self.pn) - 1 else F.interpolate(h, size=(P, P), mode="bicubic"))

    def forward(self, f, out):
        """Training forward: the straight-through map and the loss; `out` receives idx_k, f_hat_k, var_input."""
        S, rest, f_hat, loss, inputs = len(self.pn), f.detach(), 0, 0, []
        for s, p in enumerate(self.pn):
            pooled = rest if s == S - 1 else F.interpolate(rest, size=(p, p), mode="area")
            index = self.choose(pooled.permute(0, 2, 3, 1).reshape(-1, self.c["Cvae"])).view(f.shape[0], -1)
            h = self.contribution(s, index)
            f_hat, rest = f_hat + h, rest - h.detach()
            out[f"idx_{s}"], out[f"f_hat_{s}"] = index, f_hat.detach()
            if s < S - 1:
                inputs.append(F.interpolate(f_hat.detach(), size=(self.pn[s + 1],) * 2, mode="area").flatten(2).transpose(1, 2))
            loss = loss + self.c["beta"] * F.mse_loss(f_hat.detach(), f) + F.mse_loss(f_hat, f.detach())
        out["var_input"] = torch.cat(inputs, 1)
        return (f_hat - f).detach() + f, loss / S


def vqvae_parameters(c):
    rows, ch, mult, levels, z = [], c["ch"], c["ch_mult"], len(c["ch_mult"]), c["z_channels"]

    def conv(name, i, o, k):
        rows.extend([[name + ".weight", [o, i, k, k], 0, math.sqrt(3.0 / (i * k * k))], [name + ".bias", [o], 0, 0.2]])

    def norm(name, n):
        rows.extend([[name + ".weight", [n], 1, 0.3], [name + ".bias", [n], 0, 0.3]])

    def res(name, i, o):
        norm(name + ".norm1", i), conv(name + ".conv1", i, o, 3), norm(name + ".norm2", o), conv(name + ".conv2", o, o, 3)
        if i != o:
            conv(name + ".nin_shortcut", i, o, 1)

    def attention(name, n):
        norm(name + ".norm", n), conv(name + ".qkv", n, 3 * n, 1), conv(name + ".proj_out", n, n, 1)

    def middle(name, n):
        res(name + ".block_1", n, n)
        if c["using_mid_sa"]:
            attention(name + ".attn_1", n)
        res(name + ".block_2", n, n)

    conv("encoder.conv_in", c["in_channels"], ch, 3)
    width = ch
    for i in range(levels):
        for j in range(c["num_res_blocks"]):
            res(f"encoder.down.{i}.block.{j}", width, ch * mult[i])
            width = ch * mult[i]
        if i == levels - 1 and c["using_sa"]:
            for j in range(c["num_res_blocks"]):
                attention(f"encoder.down.{i}.attn.{j}", width)
        if i < levels - 1:
            conv(f"encoder.down.{i}.downsample.conv", width, width, 3)
    middle("encoder.mid", width)
    norm("encoder.norm_out", width), conv("encoder.conv_out", width, z, 3)
    conv("decoder.conv_in", z, width, 3)
    middle("decoder.mid", width)
    ups = []
    for i in reversed(range(levels)):
        at, rows = rows, []
        for j in range(c["num_res_blocks"] + 1):
            res(f"decoder.up.{i}.block.{j}", width, ch * mult[i])
            width = ch * mult[i]
        if i == levels - 1 and c["using_sa"]:
            for j in range(c["num_res_blocks"] + 1):
                attention(f"decoder.up.{i}.attn.{j}", width)
        if i > 0:
            conv(f"decoder.up.{i}.upsample.conv", width, width, 3)
        ups.insert(0, rows)
        rows = at
    for level in ups:
        rows.extend(level)
    norm("decoder.norm_out", width), conv("decoder.conv_out", width, c["in_channels"], 3)
    rows += quantizer_parameters(quantizer_of(c), "quantize.")
    conv("quant_conv", z, z, c["quant_conv_ks"]), conv("post_quant_conv", z, z, c["quant_conv_ks"])
    return rows


def quantizer_of(c):
    return dict(c, Cvae=c["z_channels"], v_patch_nums=c["patch_nums"])


class Tokenizer:
    def __init__(self, config, state):
        self.c, self.s = config, state
        self.quantizer = Quantizer(quantizer_of(config), state, "quantize.")

    def conv(self, x, name, stride=1):
        w = self.s[name + ".weight"]
        return F.conv2d(x, w, self.s[name + ".bias"], stride=stride, padding=w.shape[-1] // 2 if stride == 1 else 0)

    def norm(self, x, name):
        return F.group_norm(x, self.c["norm_groups"], self.s[name + ".weight"], self.s[name + ".bias"], self.c["norm_eps"])

    def res(self, x, name):
        h = self.conv(F.silu(self.norm(x, name + ".norm1")), name + ".conv1")
        h = self.conv(F.silu(self.norm(h, name + ".norm2")), name + ".conv2")
        return h + (self.conv(x, name + ".nin_shortcut") if name + ".nin_shortcut.weight" in self.s else x)

    def attention(self, x, name):
        if name + ".norm.weight" not in self.s:
            return x
        B, C, H, W = x.shape
        q, k, v = self.conv(self.norm(x, name + ".norm"), name + ".qkv").view(B, 3, C, H * W).unbind(1)
        weights = (q.transpose(1, 2) @ k / math.sqrt(C)).softmax(-1)
        return x + self.conv((v @ weights.transpose(1, 2)).view(B, C, H, W), name + ".proj_out")

    def middle(self, h, name):
        return self.res(self.attention(self.res(h, name + ".block_1"), name + ".attn_1"), name + ".block_2")

    def encode_raw(self, x):
        h = self.conv(x, "encoder.conv_in")
        for i in range(len(self.c["ch_mult"])):
            level = f"encoder.down.{i}."
            for j in range(self.c["num_res_blocks"]):
                h = self.attention(self.res(h, f"{level}block.{j}"), f"{level}attn.{j}")
            if i < len(self.c["ch_mult"]) - 1:
                h = self.conv(F.pad(h, (0, 1, 0, 1)), level + "downsample.conv", stride=2)
        h = self.norm(self.middle(h, "encoder.mid"), "encoder.norm_out")
        return self.conv(F.silu(h), "encoder.conv_out")

    def decode(self, f_hat):
        h = self.middle(self.conv(self.conv(f_hat, "post_quant_conv"), "decoder.conv_in"), "decoder.mid")
        for i in reversed(range(len(self.c["ch_mult"]))):
            level = f"decoder.up.{i}."
            for j in range(self.c["num_res_blocks"] + 1):
                h = self.attention(self.res(h, f"{level}block.{j}"), f"{level}attn.{j}")
            if i > 0:
                h = self.conv(F.interpolate(h, scale_factor=2, mode="nearest"), level + "upsample.conv")
        return self.conv(F.silu(self.norm(h, "decoder.norm_out")), "decoder.conv_out")


# --- Generation ---

def generate(var, tokenizer, label, cfg, out):
    pn, S, V = var.c["patch_nums"], len(var.c["patch_nums"]), var.c["num_classes"]
    both = torch.cat([label, torch.full_like(label, V)])
    f_hat, inputs, margin = 0, torch.zeros(len(label), 0, var.c["Cvae"]), math.inf
    for s in range(S):
        t = cfg * s / max(S - 1, 1)
        logits = var.forward(both, torch.cat([inputs, inputs]))[:, -pn[s] ** 2 :]
        logits = (1 + t) * logits[: len(label)] - t * logits[len(label) :]
        two = logits.topk(2).values
        margin = min(margin, (two[..., 0] - two[..., 1]).min().item())
        index = logits.argmax(-1)
        f_hat = f_hat + tokenizer.quantizer.contribution(s, index)
        out[f"logits_{s}"], out[f"idx_{s}"], out[f"f_hat_{s}"] = logits, index, f_hat
        if s < S - 1:
            following = F.interpolate(f_hat, size=(pn[s + 1],) * 2, mode="area")
            out[f"next_{s}"] = following
            inputs = torch.cat([inputs, following.flatten(2).transpose(1, 2)], 1)
    out["img"] = (tokenizer.decode(f_hat).clamp(-1, 1) + 1) / 2
    return margin


def filtered(logits, k, p):
    """top-k keeps ties with the k-th; top-p drops what ascends to a share of 1 - p, but never the best."""
    logits = logits.clone()
    if 0 < k < logits.shape[-1]:
        logits[logits < logits.topk(k).values[..., -1:]] = -math.inf
    if p > 0:
        ascending, order = logits.sort(dim=-1, stable=True)
        drop = ascending.softmax(-1).cumsum(-1) <= 1 - p
        drop[..., -1] = False
        logits.masked_fill_(drop.scatter(-1, order, drop), -math.inf)
    return logits.softmax(-1)
