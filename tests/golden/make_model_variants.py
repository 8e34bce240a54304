#!/usr/bin/env python3
"""Writes the fixtures of whole models beside itself that differ in size, options and recipe from those of the official
code: var_variant_*.h5, vqvae_variant_*.h5, quant_other_variants.h5, sample_variant.h5.

The models are those of reference_models.py. Everything is computed in float64 from float32 weights and stored as float32.
Needs PyTorch, numpy and h5py.
"""
import json
import os

import h5py
import numpy as np
import torch
import torch.nn.functional as F

from reference_models import (Quantizer, Tokenizer, Transformer, fill, fill_integers, filtered, generate, phi_index,
                              quantizer_parameters, var_parameters, vqvae_parameters)

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
RECIPE = ("parameter element i (row-major): s = (FNV1a64(key bytes) XOR salt) + (i+1)*0x9E3779B97F4A7C15 mod 2^64; z = s; "
          "z=(z^(z>>30))*0xBF58476D1CE4E5B9; z=(z^(z>>27))*0x94D049BB133111EB; z=z^(z>>31); u=(z>>40)*2^-24; "
          "value=float32(center+(2u-1)*amp). Integers: (z>>33) mod m.")


def store(file, name, tensor):
    tensor = tensor.detach()
    array = (tensor.float() if tensor.is_floating_point() and "grad_stats" not in name else tensor).numpy()
    file.create_dataset(name, data=array, **({"compression": "gzip", "shuffle": True} if array.nbytes > 4096 else {}))


def create(name, about, config):
    file = h5py.File(os.path.join(HERE, name), "w", libver=("earliest", "v110"))
    file.attrs["about"] = about + "; written by make_model_variants.py with PyTorch " + torch.__version__
    file.attrs["config"] = json.dumps(config)
    return file


def leaves(state):
    """The trainable entries, ready for gradients."""
    return {k: v.requires_grad_() for k, v in state.items() if v.is_floating_point() and not k.endswith(BUFFERS)}


BUFFERS = ("zero_k_bias", "ema_vocab_hit_SV", "attn_bias_for_masking")


def var_config(depth, embed_dim, num_heads, l2, shared, patch_nums, vocab, cvae, classes, B, mlp_ratio=4.0, norm_eps=1e-6):
    return {"kind": "VAR", "depth": depth, "embed_dim": embed_dim, "num_heads": num_heads, "mlp_ratio": mlp_ratio,
            "norm_eps": norm_eps, "attn_l2_norm": l2, "shared_aln": shared, "patch_nums": patch_nums, "vocab_size": vocab,
            "Cvae": cvae, "num_classes": classes, "cond_drop_rate": 0.0, "drop_path_rate": 0.0, "drop_rate": 0.0, "B": B,
            "L": sum(p * p for p in patch_nums)}


def var_state(c, salt):
    return {key: fill(key, shape, center, amp, salt) for key, shape, center, amp in var_parameters(c)}


def var_inputs(c, salt):
    first, B = c["patch_nums"][0] ** 2, c["B"]
    label = fill_integers("inputs/label_B", [B], c["num_classes"], salt)
    x = fill("inputs/x_BLCv_wo_first_l", [B, c["L"] - first, c["Cvae"]], 0, 1, salt)
    return label, x, fill_integers("inputs/gt_BL", [B, c["L"]], c["vocab_size"], salt)


def store_gradients(file, parameters, only=None):
    for key, p in parameters.items():
        if only is None or key in only:
            store(file, "grads/" + key, torch.zeros_like(p) if p.grad is None else p.grad)


def gradient_stats(rows, parameters, salt):
    stats = [[parameters[key].grad.norm().item(), (parameters[key].grad * fill(key + "#w", shape, 0, 1, salt)).sum().item()]
             for key, shape, _, _ in rows]
    return torch.tensor(stats)


def var_fixture(name, about, c, salt):
    state = var_state(c, salt)
    state["lvl_1L"] = torch.tensor(np.repeat(np.arange(len(c["patch_nums"])), [p * p for p in c["patch_nums"]]))[None]
    for i in range(c["depth"]):
        state[f"blocks.{i}.attn.zero_k_bias"] = torch.zeros(c["embed_dim"])
    label, x, target = var_inputs(c, salt)
    with create(name, about, c) as file:
        for key, value in state.items():
            store(file, "state_dict/" + key, value)
        for key, value in (("label_B", label), ("x_BLCv_wo_first_l", x), ("gt_BL", target)):
            store(file, "inputs/" + key, value)
        parameters = leaves(state)
        x.requires_grad_()
        model, trace = Transformer(c, state), {}
        logits = model.forward(label, x, trace)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        loss.backward()
        first = c["patch_nums"][0] ** 2
        with torch.no_grad():
            trace["logits_BLV"], trace["loss"] = logits, loss
            trace["loss_ls01"] = F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.1)
            trace["logits_uncond"] = model.forward(torch.full_like(label, c["num_classes"]), x)
            for p, end in enumerate(model.ends[:-1]):
                trace[f"logits_prog{p}"] = model.forward(label, x[:, : end - first])
        for key, value in trace.items():
            store(file, "outputs/" + key, value)
        store_gradients(file, parameters)
        store(file, "grads_inputs/x_BLCv_wo_first_l", x.grad)


def var_recipe_fixture(name, about, c, salt, strides):
    rows, (token, code, channel) = var_parameters(c), strides
    first = c["patch_nums"][0] ** 2
    c = dict(c, salt=salt, recipe=RECIPE, inputs=[
        {"key": "inputs/x_BLCv_wo_first_l", "shape": [c["B"], c["L"] - first, c["Cvae"]], "center": 0.0, "amp": 1.0},
        {"key": "inputs/gt_BL", "shape": [c["B"], c["L"]], "integer_mod": c["vocab_size"]},
        {"key": "inputs/label_B", "shape": [c["B"]], "integer_mod": c["num_classes"]}],
        note=f"logits_sample = logits[:, ::{token}, ::{code}]; last_block_sample = x after the last block [:, ::{token}, ::{channel}]")
    state = var_state(c, salt)
    label, x, target = var_inputs(c, salt)
    with create(name, about, c) as file:
        file.attrs["params"] = json.dumps(rows)
        store(file, "inputs/x_first8", x.flatten()[:8])
        store(file, "inputs/gt_BL_first8", target[:, :8])
        parameters, trace = leaves(state), {}
        logits = Transformer(c, state).forward(label, x, trace)
        token_loss = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        token_loss.mean().backward()
        store(file, "outputs/per_token_loss", token_loss)
        store(file, "outputs/loss", token_loss.mean())
        store(file, "outputs/logits_sample", logits[:, ::token, ::code])
        store(file, "outputs/last_block_sample", trace[f"block_{c['depth'] - 1}"][:, ::token, ::channel])
        store(file, "outputs/grad_stats", gradient_stats(rows, parameters, salt))
        store_gradients(file, parameters, ("pos_start", "blocks.0.attn.q_bias", "lvl_embed.weight", "head.bias"))


def vqvae_config(ch, ch_mult, blocks, z, vocab, patch_nums, **more):
    return {"kind": "VQVAE", "vocab_size": vocab, "z_channels": z, "ch": ch, "ch_mult": ch_mult, "num_res_blocks": blocks,
            "in_channels": 3, "using_sa": True, "using_mid_sa": True, "dropout": 0.0, "beta": 0.25, "using_znorm": False,
            "quant_conv_ks": 3, "quant_resi": 0.5, "share_quant_resi": 4, "patch_nums": patch_nums, "norm_groups": 4,
            "norm_eps": 1e-6, **more}


def vqvae_run(c, state, images, out):
    """Fills `out`, runs backward, and gives the smallest lead of a chosen code."""
    model = Tokenizer(c, state)
    raw = model.encode_raw(images)
    f = model.conv(raw, "quant_conv")
    straight, vq_loss = model.quantizer.forward(f, out)
    recon = model.decode(straight)
    mse = F.mse_loss(recon, images)
    (mse + vq_loss).backward()
    out.update(encoder_out=raw, f=f, recon=recon, vq_loss=vq_loss, mse=mse, loss=mse + vq_loss)
    with torch.no_grad():
        for s in range(len(c["patch_nums"])):
            out[f"img_{s}"] = model.decode(out[f"f_hat_{s}"]).clamp(-1, 1)
    assert model.quantizer.margin > 1e-4, f"a code is chosen by {model.quantizer.margin}: take another salt"


def vqvae_state(c, salt):
    return {key: fill(key, shape, center, amp, salt) for key, shape, center, amp in vqvae_parameters(c)}


def vqvae_fixture(name, about, c, salt, B):
    size = c["patch_nums"][-1] * 2 ** (len(c["ch_mult"]) - 1)
    state, out = vqvae_state(c, salt), {}
    images = fill("inputs/inp", [B, 3, size, size], 0, 0.9, salt)
    state["quantize.ema_vocab_hit_SV"] = torch.zeros(len(c["patch_nums"]), c["vocab_size"])
    with create(name, about, c) as file:
        for key, value in state.items():
            store(file, "state_dict/" + key, value)
        store(file, "inputs/inp", images)
        parameters = leaves(state)
        vqvae_run(c, state, images.requires_grad_(), out)
        for key, value in out.items():
            store(file, "outputs/" + key, value)
        store_gradients(file, parameters)
        store(file, "grads_inputs/inp", images.grad)


def vqvae_recipe_fixture(name, about, c, salt, B):
    size, rows, out = c["patch_nums"][-1] * 2 ** (len(c["ch_mult"]) - 1), vqvae_parameters(c), {}
    shape = [B, 3, size, size]
    c = dict(c, salt=salt, recipe=RECIPE, input={"key": "inputs/inp", "shape": shape, "center": 0.1, "amp": 0.8})
    state, images = vqvae_state(c, salt), fill("inputs/inp", shape, 0.1, 0.8, salt)
    with create(name, about, c) as file:
        file.attrs["params"] = json.dumps(rows)
        store(file, "check/encoder.conv_in.weight", state["encoder.conv_in.weight"].flatten()[:8])
        parameters = leaves(state)
        vqvae_run(c, state, images, out)
        out["f_hat"] = out[f"f_hat_{len(c['patch_nums']) - 1}"]
        for key, value in out.items():
            if not key.startswith(("img_", "f_hat_", "var_input", "mse")):
                store(file, "outputs/" + key, value)
        store(file, "outputs/grad_stats", gradient_stats(rows, parameters, salt))
        store_gradients(file, parameters, ("decoder.conv_out.bias", "quantize.embedding.weight", "encoder.conv_in.weight"))


def quantizer_fixture(name):
    def variant(file, name, salt, B, C, vocab, patch_nums, share, resi, beta=0.25, znorm=False):
        c = {"vocab_size": vocab, "Cvae": C, "using_znorm": znorm, "beta": beta, "quant_resi": resi, "share_quant_resi": share,
             "v_patch_nums": patch_nums}
        group = file.create_group("variants/" + name)
        state = {key: fill(key, *row, salt) for key, *row in quantizer_parameters(c)}
        f, w = (fill("inputs/" + n, [B, C, patch_nums[-1], patch_nums[-1]], 0, 2, salt) for n in ("f", "w"))
        for key, value in {**state, "ema_vocab_hit_SV": torch.zeros(len(patch_nums), vocab)}.items():
            store(group, "state_dict/" + key, value)
        store(group, "inputs/f", f), store(group, "inputs/w", w)
        parameters, out = leaves(state), {}
        quantizer = Quantizer(c, state)
        straight, vq_loss = quantizer.forward(f.requires_grad_(), out)
        ((straight * w).sum() + vq_loss).backward()
        assert quantizer.margin > 5e-5, f"{name}: a code is chosen by {quantizer.margin}: take another salt"
        group.attrs["params"] = json.dumps(c)
        out.update(f_hat_st=straight, vq_loss=vq_loss)
        out["phi_index"] = torch.tensor([phi_index(s, len(patch_nums), share or len(patch_nums)) for s in range(len(patch_nums))])
        for key, value in out.items():
            store(group, "outputs/" + key, value)
        store_gradients(group, parameters)
        store(group, "grads_inputs/f", f.grad)

    with create(name, "The quantizer alone with other pyramids, widths and phis than quant_variants.h5", {"kind": "quantizer"}) as file:
        variant(file, "uneven", 3, 1, 5, 40, [1, 3, 4], 4, 0.5)
        variant(file, "nonshared_znorm", 18, 2, 3, 20, [1, 2, 5, 9], 0, 0.7, znorm=True)
        variant(file, "shared_wide", 5, 1, 17, 30, [2, 3, 7], 1, -0.25, beta=0.6)
        variant(file, "many_phis", 6, 1, 2, 25, [1, 2, 3, 4, 6], 7, 0.5)
        variant(file, "no_phi", 7, 3, 4, 33, [1, 4], 0, 0.0, beta=0.0)
        for phis, scales in ((1, 6), (2, 8), (4, 13), (6, 6), (9, 2), (16, 12)):
            store(file, f"phi_index/K{phis}_SN{scales}", torch.tensor([phi_index(s, scales, phis) for s in range(scales)]))


def sample_fixture(name, runs, filters, salt):
    with create(name, "Greedy generation of the variants' models, and filters", {"kind": "sample_greedy"}) as file, torch.no_grad():
        listed = []
        for i, (var_file, c, var_salt, vae_file, v, vae_salt, cfg, labels) in enumerate(runs):
            tokenizer = Tokenizer(dict(v, patch_nums=c["patch_nums"]), vqvae_state(v, vae_salt))
            label, out = torch.tensor(labels), {}
            margin = generate(Transformer(c, var_state(c, var_salt)), tokenizer, label, cfg, out)
            assert margin > 1e-3, f"run {i}: a code is chosen by {margin}: take another salt"
            store(file, f"inputs/run{i}/label_B", label)
            for key, value in out.items():
                store(file, f"outputs/run{i}/{key}", value)
            listed.append({"run": f"run{i}", "var_file": var_file, "vae_file": vae_file, "cfg": cfg, "B": len(labels), "top_k": 1,
                           "top_p": 0.0, "min_top1_top2_margin": margin})
        logits, ties = fill("filter/logits", [3, 23], 0, 6, salt), fill_integers("filter/ties", [4, 9], 4, salt).double()
        store(file, "inputs/filter/logits", logits), store(file, "inputs/filter/logits_ties", ties)
        entries = []
        for j, (source, k, p) in enumerate(filters):
            store(file, f"outputs/filter/probs_{j}", filtered(logits if source == "logits" else ties, k, p))
            entries.append({"dataset": f"probs_{j}", "input": source, "top_k": k, "top_p": p})
        file.attrs["config"] = json.dumps({"kind": "sample_greedy", "runs": listed, "filters": entries})


def main():
    plain = var_config(2, 36, 3, False, False, [1, 3, 4], 40, 6, 5, 2, mlp_ratio=2.5, norm_eps=1e-5)
    shared = var_config(3, 32, 4, True, True, [2, 3, 4], 24, 4, 3, 1)
    var_fixture("var_variant_plain.h5", "VAR without L2 norm, an adaLN per block, patch_nums 1,3,4, another MLP ratio", plain, 101)
    var_fixture("var_variant_saln_l2.h5", "VAR with L2 norm and shared adaLN, a pyramid that begins with 2", shared, 102)
    var_recipe_fixture("var_variant_recipe.h5", "VAR by another recipe, shared adaLN, no L2 norm, five scales",
                       var_config(2, 64, 2, False, True, [1, 2, 3, 5, 7], 100, 5, 17, 2), 2**63 + 9, (5, 7, 3))
    znorm = vqvae_config(8, [1, 2], 1, 6, 40, [1, 3, 4], using_znorm=True, share_quant_resi=0, beta=0.4)
    small = vqvae_config(8, [2, 1, 1], 2, 4, 24, [1, 2, 4], share_quant_resi=1, quant_resi=-0.4, using_sa=False, quant_conv_ks=1)
    vqvae_fixture("vqvae_variant_znorm.h5", "VQVAE by cosine, a phi per scale, two levels", znorm, 211, 2)
    vqvae_recipe_fixture("vqvae_variant_recipe.h5", "VQVAE by another recipe: one phi, attention in the middle only", small, 201, 1)
    quantizer_fixture("quant_other_variants.h5")
    sample_fixture("sample_variant.h5",
                   [("var_variant_plain.h5", plain, 101, "vqvae_variant_znorm.h5", znorm, 211, 2.5, [0, 4, 2]),
                    ("var_variant_saln_l2.h5", shared, 102, "vqvae_variant_recipe.h5", small, 201, 0.0, [1])],
                   [("logits", 0, 0.0), ("logits", 4, 0.0), ("logits", 0, 0.7), ("logits", 9, 0.5), ("logits", 100, 0.99),
                    ("logits_ties", 3, 0.0), ("logits_ties", 2, 0.6)], 301)


if __name__ == "__main__":
    main()
