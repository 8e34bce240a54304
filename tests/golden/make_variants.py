#!/usr/bin/env python3
"""Writes ops_variants.h5, optim_variants.h5 and positional_variants.h5 beside itself: fixtures of the kinds ops, optim
and positional with other shapes, values and parameters than ops.h5, optim.h5 and positional.h5.

Needs PyTorch, numpy and h5py. Everything is computed in float64 from float32 inputs and stored as float32.
"""
import json
import math
import os

import h5py
import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
generator = torch.Generator().manual_seed(20250101)


def uniform(*shape, low=-2.0, high=2.0):
    x = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
    return x.float().double()  # exact in float32


def integers(bound, *shape):
    return torch.randint(bound, shape, generator=generator)


def store(group, name, tensor):
    tensor = tensor.detach()
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    group.create_dataset(name, data=array, **({"compression": "gzip", "shuffle": True} if array.nbytes > 8192 else {}))


def case(file, name, params, inputs, function, constants=()):
    """inputs: name -> tensor; the floating ones outside `constants` get gradients."""
    group = file.create_group("cases/" + name)
    group.attrs["params"] = json.dumps(params)
    leaves = {}
    for key, value in inputs.items():
        store(group, "inputs/" + key, value)
        leaves[key] = value.clone()
        if value.is_floating_point() and key not in constants:
            leaves[key].requires_grad_()
    results = function(**leaves)
    y, indices = results if isinstance(results, tuple) else (results, None)
    store(group, "outputs/y", y)
    if indices is not None:
        store(group, "outputs/indices", indices)
    group.require_group("grads")
    if not y.requires_grad:
        return
    w = uniform(*y.shape)
    w = torch.where(torch.isinf(y), torch.zeros_like(w), w)
    store(group, "inputs/w", w)
    torch.where(w == 0, torch.zeros_like(y), y * w).sum().backward()
    for key, leaf in leaves.items():
        if leaf.requires_grad:
            store(group, "grads/" + key, torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def pointwise_cases(file):
    for name, function in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        b = uniform(3, 1, 33, low=0.5)
        case(file, f"{name}_bcast", {}, {"a": uniform(2, 1, 7, 1), "b": b}, lambda a, b, f=function: f(a, b))
        case(file, f"{name}_scalar", {}, {"a": uniform(129), "b": uniform(low=0.5)}, lambda a, b, f=function: f(a, b))
    functions = {
        "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "relu": F.relu,
        "square": torch.square, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "gelu_erf": F.gelu,
    }
    for name, function in functions.items():
        case(file, name, {}, {"x": uniform(3, 129, low=-6, high=6)}, lambda x, f=function: f(x))
    for name, function in {"log": torch.log, "sqrt": torch.sqrt}.items():
        case(file, name, {}, {"x": uniform(31, low=1e-3, high=50)}, lambda x, f=function: f(x))
    case(file, "leaky_relu", {"negative_slope": 0.05}, {"x": uniform(7, 9)}, lambda x: F.leaky_relu(x, 0.05))
    case(file, "clamp", {"min": 0.1, "max": 1.5}, {"x": uniform(2, 3, 31)}, lambda x: x.clamp(0.1, 1.5))
    case(file, "clamp_max", {"max": -0.25}, {"x": uniform(33)}, lambda x: x.clamp(max=-0.25))


def product(a, b):
    return torch.matmul(a, b)


def product_cases(file):
    case(file, "matmul_2d", {"op": "a@b"}, {"a": uniform(33, 129), "b": uniform(129, 31)}, product)
    case(file, "matmul_batched_bcast", {}, {"a": uniform(3, 1, 2, 7), "b": uniform(2, 7, 1)}, product)
    case(file, "matmul_vector_rows", {}, {"a": uniform(1, 65), "b": uniform(65, 2)}, product)
    case(file, "linear", {}, {"x": uniform(3, 1, 31), "weight": uniform(17, 31), "bias": uniform(17)},
         lambda x, weight, bias: F.linear(x, weight, bias))
    case(file, "linear_nobias", {}, {"x": uniform(9, 4), "weight": uniform(3, 4)}, lambda x, weight: F.linear(x, weight))


def shape_and_reduction_cases(file):
    case(file, "permute_reshape", {"op": "x.permute(0,2,1,3).reshape(d0,d2,d1*d3).transpose(1,2)"},
         {"x": uniform(1, 7, 2, 3)}, lambda x: x.permute(0, 2, 1, 3).reshape(1, 2, 21).transpose(1, 2))
    case(file, "slice_concat", {"op": "cat([x[:,2:7], z, x[:,1:4]], dim=1)"}, {"x": uniform(2, 8, 3), "z": uniform(2, 1, 3)},
         lambda x, z: torch.cat([x[:, 2:7], z, x[:, 1:4]], dim=1))
    reductions = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}
    for name, function in reductions.items():
        x = uniform(3, 31, 2, 7)
        case(file, f"{name}_all", {}, {"x": x}, lambda x, f=function: f(x))
        for dim, keep in ((1, False), (-2, True), (3, False)):
            case(file, f"{name}_dim{dim}".replace("-", "m"), {"dim": dim, "keepdim": keep}, {"x": x},
                 lambda x, f=function, d=dim, k=keep: f(x, dim=d, keepdim=k))
    for name in ("sum", "mean"):
        case(file, f"{name}_dim1_3", {"dim": [1, 3], "keepdim": False}, {"x": uniform(2, 33, 3, 5)},
             lambda x, f=reductions[name]: f(x, dim=(1, 3)))


def softmax_cases(file):
    for name, function in {"softmax": F.softmax, "log_softmax": F.log_softmax}.items():
        case(file, name, {"dim": -1}, {"x": uniform(2, 129, low=-20, high=20)}, lambda x, f=function: f(x, dim=-1))
        case(file, f"{name}_dim1", {"dim": 1}, {"x": uniform(2, 7, 3)}, lambda x, f=function: f(x, dim=1))
        mask = torch.where(torch.rand(4, 33, generator=generator) < 0.3, -math.inf, 0.0).double()
        mask[:, 0] = 0
        case(file, f"{name}_masked", {"dim": -1}, {"x": uniform(4, 33), "mask": mask},
             lambda x, mask, f=function: f(x + mask, dim=-1), constants=("mask",))
    for smoothing in (0.0, 0.3):
        case(file, f"cross_entropy_ls{str(smoothing).replace('.', '')}", {"label_smoothing": smoothing, "reduction": "none"},
             {"logits": uniform(31, 129, low=-9, high=9), "target": integers(129, 31)},
             lambda logits, target, s=smoothing: F.cross_entropy(logits, target, reduction="none", label_smoothing=s))


def normalisation_cases(file):
    case(file, "layer_norm_noaffine", {"eps": 1e-3}, {"x": uniform(3, 7, 33, low=-0.01, high=0.01)},
         lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-3))
    case(file, "layer_norm_affine", {"eps": 1e-6}, {"x": uniform(5, 129) + 10, "weight": uniform(129), "bias": uniform(129)},
         lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6))
    case(file, "group_norm", {"num_groups": 3, "eps": 1e-5},
         {"x": uniform(3, 9, 5, 7), "weight": uniform(9), "bias": uniform(9)},
         lambda x, weight, bias: F.group_norm(x, 3, weight, bias, 1e-5))
    case(file, "batch_norm_eval", {"eps": 1e-5, "training": False},
         {"x": uniform(1, 7, 3, 2), "running_mean": uniform(7), "running_var": uniform(7, low=0.1), "weight": uniform(7),
          "bias": uniform(7)},
         lambda x, running_mean, running_var, weight, bias: F.batch_norm(x, running_mean, running_var, weight, bias, False, 0, 1e-5),
         constants=("running_mean", "running_var"))
    case(file, "l2_normalize", {"dim": 1, "eps": 1e-12}, {"x": uniform(2, 31, 3)}, lambda x: F.normalize(x, dim=1, eps=1e-12))
    case(file, "embedding", {}, {"weight": uniform(33, 7), "idx": integers(9, 2, 31)}, lambda weight, idx: F.embedding(idx, weight))


def image_cases(file):
    def convolution(name, x, weight, stride, padding, pre_pad=(0, 0, 0, 0), bias=True):
        params = {"kernel": list(weight.shape[2:]), "stride": stride, "padding": list(padding),
                  "pre_pad_left_right_top_bottom": list(pre_pad), "bias": bias}
        inputs = {"x": x, "weight": weight, **({"bias": uniform(weight.shape[0])} if bias else {})}
        case(file, name, params, inputs,
             lambda x, weight, bias=None: F.conv2d(F.pad(x, pre_pad), weight, bias, stride, padding))

    convolution("conv2d_3x3_p1", uniform(1, 7, 9, 31), uniform(17, 7, 3, 3), 1, (1, 1))
    convolution("conv2d_3x3_s2_asym", uniform(3, 16, 8, 8), uniform(32, 16, 3, 3), 2, (0, 0), (0, 1, 0, 1))
    convolution("conv2d_1x1", uniform(2, 33, 5, 3), uniform(2, 33, 1, 1), 1, (0, 0))
    convolution("conv2d_2x5_s3", uniform(2, 3, 11, 12), uniform(5, 3, 2, 5), 3, (1, 2), (1, 0, 2, 0), bias=False)
    convolution("conv2d_4x4_s4", uniform(2, 3, 8, 12), uniform(8, 3, 4, 4), 4, (0, 0))

    for include in (True, False):
        case(file, "avg_pool_2x2_s2" + ("_incl" if include else "_excl"),
             {"kernel": 2, "stride": 2, "padding": 1, "count_include_pad": include}, {"x": uniform(1, 3, 7, 10)},
             lambda x, i=include: F.avg_pool2d(x, 2, 2, 1, count_include_pad=i))
    case(file, "max_pool_2x2_s1", {"kernel": 2, "stride": 1, "padding": 0}, {"x": uniform(2, 2, 5, 6)},
         lambda x: F.max_pool2d(x, 2, 1, 0))
    case(file, "max_pool_5x5_s3_p2", {"kernel": 5, "stride": 3, "padding": 2}, {"x": uniform(1, 3, 13, 8)},
         lambda x: F.max_pool2d(x, 5, 3, 2))
    case(file, "adaptive_avg_pool_3x2", {"output": [3, 2]}, {"x": uniform(2, 3, 7, 5)}, lambda x: F.adaptive_avg_pool2d(x, (3, 2)))

    sizes = {"area": ((8, 8, 5, 6), (7, 9, 3, 9)), "bicubic": ((4, 5, 9, 8), (8, 8, 3, 5)), "bilinear": ((7, 1, 5, 9), (9, 8, 4, 3)),
             "nearest": ((3, 5, 7, 9), (8, 6, 3, 5))}
    for mode, shapes in sizes.items():
        for h, w, height, width in shapes:
            params = {"mode": mode, "size": [height, width]}
            if mode in ("bicubic", "bilinear"):
                params["align_corners"] = False
            case(file, f"interp_{mode}_{h}x{w}_to_{height}x{width}", params, {"x": uniform(2, 2, h, w)},
                 lambda x, p=params: F.interpolate(x, **p))
    case(file, "interp_nearest_x3", {"mode": "nearest", "scale": 3}, {"x": uniform(1, 2, 2, 3)},
         lambda x: F.interpolate(x, scale_factor=3, mode="nearest"))


def attention_cases(file):
    def attention(name, B, H, d, patch_nums, scale, scale_mul=None):
        ends = np.cumsum([p * p for p in patch_nums])
        L = int(ends[-1])
        scales = torch.tensor(np.searchsorted(ends, np.arange(L), side="right"))
        mask = torch.where(scales[:, None] >= scales[None, :], 0.0, -math.inf).double()[None, None]
        params = {"patch_nums": patch_nums, "scale": scale, "layout": "B,H,L,d"}
        inputs = {"q": uniform(B, H, L, d), "k": uniform(B, H, L, d), "v": uniform(B, H, L, d), "mask": mask}
        if scale_mul is not None:
            inputs["scale_mul"] = scale_mul
            params["max_scale_mul"] = math.log(100)

        def function(q, k, v, mask, scale_mul=None):
            if scale_mul is not None:
                q = F.normalize(q, dim=-1) * scale_mul.clamp(max=math.log(100)).exp()
                k = F.normalize(k, dim=-1)
            return ((q * scale) @ k.transpose(-2, -1) + mask).softmax(-1) @ v

        case(file, name, params, inputs, function, constants=("mask",))

    attention("sdpa_scale_causal", 1, 2, 16, [1, 3, 4], 0.25)
    attention("sdpa_scale_causal_l2", 3, 1, 4, [1, 2, 4], 1.0, torch.tensor([[[[1.25]]]]).double())
    attention("sdpa_scale_causal_single", 2, 3, 7, [2], 0.5)
    attention("sdpa_scale_causal_l2_wide", 1, 2, 33, [1, 2, 3, 5], 1.0, torch.tensor([5.0, 2.0]).double().reshape(1, 2, 1, 1))


def selection_cases(file):
    case(file, "where", {}, {"cond": integers(2, 3, 1, 31).to(torch.uint8), "a": uniform(7, 1), "b": uniform(3, 7, 31)},
         lambda cond, a, b: torch.where(cond.bool(), a, b))
    case(file, "gather", {"dim": 0}, {"x": uniform(5, 7), "idx": integers(5, 9, 6)}, lambda x, idx: torch.gather(x, 0, idx))
    case(file, "cumsum", {"dim": 0}, {"x": uniform(33, 5)}, lambda x: torch.cumsum(x, 0))
    case(file, "topk", {"k": 9, "dim": -1, "largest": True, "sorted": True}, {"x": uniform(2, 3, 33)},
         lambda x: tuple(torch.topk(x, 9)))
    case(file, "topk_smallest_dim0", {"k": 2, "dim": 0, "largest": False, "sorted": True}, {"x": uniform(7, 5)},
         lambda x: tuple(torch.topk(x, 2, dim=0, largest=False)))
    case(file, "sort", {"dim": -1, "descending": True}, {"x": uniform(3, 129)}, lambda x: tuple(torch.sort(x, descending=True)))
    case(file, "sort_dim0", {"dim": 0, "descending": False}, {"x": uniform(31, 2)}, lambda x: tuple(torch.sort(x, dim=0)))
    case(file, "argmax", {"dim": 1}, {"x": uniform(3, 31, 2)}, lambda x: x.argmax(1).detach())
    case(file, "argmin", {"dim": 0}, {"x": uniform(7, 3)}, lambda x: x.argmin(0).detach())
    ties = integers(3, 4, 9).double()
    case(file, "argmax_ties", {"dim": -1}, {"x": ties},
         lambda x: torch.tensor(np.argmax(x.detach().numpy(), axis=-1)))
    case(file, "bincount", {"minlength": 3}, {"x": integers(7, 129)}, lambda x: torch.bincount(x, minlength=3))


def optim(file):
    def adamw(name, params, names_and_shapes, lr, wd, no_decay=()):
        group = file.create_group(name)
        group.attrs["params"] = json.dumps(params)
        steps = params["steps"]
        tensors = {n: torch.nn.Parameter(uniform(*s)) for n, s in names_and_shapes.items()}
        gradients = {n: uniform(steps, *s, low=-0.3, high=0.3) for n, s in names_and_shapes.items()}
        for n in tensors:
            store(group, f"inputs/{n}", tensors[n])
            store(group, f"inputs/grad_{n}", gradients[n])
        optimizer = torch.optim.AdamW([{"params": [tensors[n] for n in tensors if n not in no_decay]},
                                       {"params": [tensors[n] for n in no_decay], "no_decay": True}],
                                      betas=params["betas"], eps=params["eps"])
        history = {n: [] for n in tensors}
        for t in range(steps):
            for g in optimizer.param_groups:
                g["lr"] = lr[t]
                g["weight_decay"] = 0.0 if g.get("no_decay") else wd[t]
            for n in tensors:
                tensors[n].grad = gradients[n][t].clone()
            optimizer.step()
            for n in tensors:
                history[n].append(tensors[n].detach().clone())
        for n in tensors:
            store(group, f"outputs/{n}", torch.stack(history[n]))
            store(group, f"outputs/exp_avg_{n}", optimizer.state[tensors[n]]["exp_avg"])
            store(group, f"outputs/exp_avg_sq_{n}", optimizer.state[tensors[n]]["exp_avg_sq"])

    shapes = {"a": (33,), "b": (7, 1, 3), "table": (2, 31)}
    adamw("adamw", {"lr": 0.01, "betas": [0.8, 0.99], "weight_decay": 0.2, "eps": 1e-6, "steps": 7}, shapes, [0.01] * 7, [0.2] * 7)
    lr, wd = [0.001 * (t + 1) for t in range(4)], [0.1 / (t + 1) for t in range(4)]
    adamw("adamw_groups", {"betas": [0.9, 0.95], "eps": 1e-8, "lr_per_step": lr, "wd_per_step": wd, "no_decay": ["a", "table"],
                           "steps": 4}, shapes, lr, wd, ("a", "table"))

    clip = file.create_group("clip")
    clip.attrs["params"] = json.dumps({"max_norm": 0.5, "norm_type": 2})
    for name, size in {"a": 2.0, "b": 0.01, "c": 0.3}.items():
        gradients = [uniform(*shape, low=-size, high=size) for shape in shapes.values()]
        norm = torch.sqrt(sum((g * g).sum() for g in gradients))
        store(clip, f"outputs/{name}_norm", norm)
        for i, gradient in enumerate(gradients):
            store(clip, f"inputs/{name}_p{i}", gradient)
            store(clip, f"outputs/{name}_p{i}", gradient * min(1.0, 0.5 / (norm.item() + 1e-6)))


def positional(file):
    def table_1d(positions, channels):
        rates = np.exp(-np.arange(0, channels, 2) * math.log(10000) / channels)
        angles = np.asarray(positions, dtype=np.float64)[:, None] * rates
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), channels)

    def table_2d(patch_nums, channels, scaled):
        tables = []
        for n in patch_nums:
            at = np.arange(n, dtype=np.float64)
            at = (at + 0.5) * patch_nums[-1] / n if scaled else at
            tables.append(np.concatenate([table_1d(np.repeat(at, n), channels // 2), table_1d(np.tile(at, n), channels // 2)], 1))
        return np.concatenate(tables)

    sets = [{"group": "t0", "patch_nums": [1, 2, 5], "C": 20, "L": 30, "rows_stored": 30, "mix_learned": 0.25, "mix_fixed": 0.5},
            {"group": "t1", "patch_nums": [2, 3, 4, 6, 8], "C": 132, "L": 129, "rows_stored": 33, "mix_learned": 0.7,
             "mix_fixed": 0.3}]
    resize = [{"dataset": "up", "table": "inputs/t0/learned", "from_patch_nums": [1, 2, 5], "to_patch_nums": [1, 3, 8]},
              {"dataset": "down", "table": "inputs/t0/learned", "from_patch_nums": [1, 2, 5], "to_patch_nums": [2, 2, 3]}]
    file.attrs["config"] = json.dumps({"kind": "positional", "sets": sets, "resize": resize})
    learned = uniform(30, 20)
    store(file, "inputs/t0/learned", learned)
    for s in sets:
        write = lambda name, table: store(file, f"outputs/{s['group']}/{name}", torch.tensor(table[: s["rows_stored"]]))
        length = sum(n * n for n in s["patch_nums"])
        write("fixed1d", table_1d(np.arange(length), s["C"]))
        write("fixed2d", table_2d(s["patch_nums"], s["C"], False))
        write("scaled2d", table_2d(s["patch_nums"], s["C"], True))
        if s["group"] == "t0":
            write("mixed", 0.25 * learned.numpy() + 0.5 * table_2d(s["patch_nums"], s["C"], False))
    for r in resize:
        parts, begin = [], 0
        for old, new in zip(r["from_patch_nums"], r["to_patch_nums"]):
            part = learned[begin : begin + old * old].T.reshape(1, -1, old, old)
            begin += old * old
            part = part if old == new else F.interpolate(part, size=(new, new), mode="bicubic", align_corners=False)
            parts.append(part.reshape(-1, new * new).T)
        store(file, "outputs/resize/" + r["dataset"], torch.cat(parts))


def main():
    about = "written by make_variants.py with PyTorch " + torch.__version__
    with h5py.File(os.path.join(HERE, "ops_variants.h5"), "w", libver=("earliest", "v110")) as file:
        file.attrs["about"] = "Single operators, other shapes and parameters than ops.h5; " + about
        file.attrs["config"] = json.dumps({"kind": "ops"})
        for cases in (pointwise_cases, product_cases, shape_and_reduction_cases, softmax_cases, normalisation_cases, image_cases,
                      attention_cases, selection_cases):
            cases(file)
    with h5py.File(os.path.join(HERE, "optim_variants.h5"), "w", libver=("earliest", "v110")) as file:
        file.attrs["about"] = "AdamW and clipping with other shapes and parameters than optim.h5; " + about
        file.attrs["config"] = json.dumps({"kind": "optim"})
        optim(file)
    with h5py.File(os.path.join(HERE, "positional_variants.h5"), "w", libver=("earliest", "v110")) as file:
        file.attrs["about"] = "Position tables of other pyramids than positional.h5; " + about
        positional(file)


if __name__ == "__main__":
    main()
