"""Golden names of the graph family. Their files have no prefixes: `OUTPUTS` says what is expected."""

from __future__ import annotations

from typing import Any

import torch
from kdzoo_graph.auto_distill import Projection
from kdzoo_graph.entity_identification import apart, identify, identify_in_batch, identify_sampled
from kdzoo_graph.models.dan import DANEncoder, weights
from kdzoo_graph.models.decoders import complex_product, distmult, scores, transe
from kdzoo_graph.models.graph import Graph
from kdzoo_graph.models.heads import vectors
from kdzoo_graph.sampling import expected_count
from kdzoo_graph.tasks.entity_alignment import contrastive
from kdzoo_graph.tasks.ranks import csls, ranks, summary
from torch.func import functional_call
from torch.nn import functional as F

from kdzoo.functional.labels import cross_entropy

COMBINE = {"*": "multiply", "+": "add"}


def graph_of(case: Any) -> Graph:
    sizes = {"n": "x", "nr": "rel"}
    entities, relations = (case.hyper[n] if n in case.hyper else len(case.inputs[table]) for n, table in sizes.items())
    return Graph(case.inputs["triples"], entities=entities, relations=relations)


def dan_graph(case: Any) -> dict[str, Any]:
    graph = graph_of(case)
    given = {}
    for name, edges in (("edge", graph.edges), ("er", graph.incidence)):
        given |= {f"out.{name}_row": edges.row, f"out.{name}_col": edges.col, f"out.{name}_val": edges.value}
    return given


def norm(own: Any, name: str, prefix: Any) -> dict[str, Any]:
    return {f"{name}.weight": own[f"{prefix}g"], f"{name}.bias": own[f"{prefix}b"]}


def dense(own: Any, name: str, key: Any) -> dict[str, Any]:
    return {f"{name}.weight": own[key], f"{name}.bias": own[f"{key}b"]}


def summed(own: Any, name: str, key: Any) -> dict[str, Any]:
    return {f"{name}.weight": own[key].sum(0, keepdim=True), f"{name}.bias": own[f"{key}b"].sum()[None]}


def part(case: Any, prefix: Any) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in case.inputs.items() if key.startswith(prefix)}


def attention(own: Any, *, first: Any) -> Any:
    value, out = dense(own, "value", "w"), norm(own, "norm_out", "l2")
    if first:
        return norm(own, "norm_key", "l1") | value | out
    scored = summed(own, "score_query", "w1") | summed(own, "score_key", "w2")
    return norm(own, "norm_query", "l1") | norm(own, "norm_key", "lk") | value | out | scored


def relation_attention(own: Any) -> Any:
    scored = dense(own, "score_query", "w1") | dense(own, "score_key", "w2")
    return norm(own, "norm_key", "l1") | dense(own, "value", "w") | norm(own, "norm_out", "l2") | scored


def under(prefix: Any, own: Any) -> dict[str, Any]:
    return {f"{prefix}.{key}": value for key, value in own.items()}


def encoder(case: Any, depth: Any = None, layer_norm: bool = False) -> tuple[Any, dict[str, Any]]:
    depth = depth or case.hyper["depth"]
    module = DANEncoder(
        relations=len(case.inputs["rel"]),
        width=case.inputs["x"].shape[1],
        layers=depth,
        dropout=0.0,
        combine=COMBINE[case.hyper["op"]],
        layer_norm=layer_norm,
        hops=1,
        self_loop=False,
    ).to(case.dtype)
    own = {"relations": case.inputs["rel"]}
    for k in range(depth):
        own |= under(f"layers.{k}.attention", attention(part(case, f"L{k}_a_"), first=k == 0))
        own |= under(f"layers.{k}.relations", relation_attention(part(case, f"L{k}_r_")))
        own |= under(f"layers.{k}", dense(part(case, f"L{k}_"), "mix", "d"))
        own |= under(f"norms.{k}", norm(case.inputs, "", f"ln{k}_")) if layer_norm else {}
    return module, {key.replace("..", "."): value for key, value in own.items()}


def dan_forward(case: Any) -> Any:
    module, own = encoder(case, layer_norm="ln0_g" in case.inputs)
    _, *layers = functional_call(module, own, (case.inputs["x"], graph_of(case)))
    total = (layers[-1] * case.inputs["cotangent"]).sum()
    return {f"out.out{k}": layer for k, layer in enumerate(layers)} | case.gradients(total)


def dan_attention(case: Any) -> dict[str, Any]:
    graph, entities = graph_of(case), case.hyper["n"]
    module, own = encoder(case)
    module.load_state_dict(own)
    first, last, relations = module.layers[0].attention, module.layers[-1].attention, module.layers[0].relations
    x, key, rel = case.inputs["x"], case.inputs["key"], case.inputs["rel"]
    heard = last.scores(last.norm_query(x), last.norm_key(key), graph.edges)
    left = relations.scores(x, relations.norm_key(rel), graph.incidence)
    return {
        "out.out_first": first(x, graph.edges),
        "out.out_attn": last(x, key, graph.edges),
        "out.out_rel": relations(x, rel, graph.incidence),
        "out.alpha_first": weights(2 * graph.edges.value.to(case.dtype), graph.edges, rows=entities),
        "out.alpha_attn": weights(heard, graph.edges, rows=entities),
        "out.alpha_rel": weights(left, graph.incidence, rows=entities),
    }


def dan_unseen(case: Any) -> dict[str, Any]:
    """The entity that is not in the table gets a row of its own here; what stands in it must not matter."""
    known = case.inputs["x"]
    entities = len(known) + 1
    graph = Graph(case.inputs["triples"], entities=entities, relations=len(case.inputs["rel"]))
    module, own = encoder(case, depth=1)
    found = [
        functional_call(module, own, (torch.cat([known, row * torch.ones_like(known[:1])]), graph))[1] for row in (0.0, 7.0)
    ]
    torch.testing.assert_close(found[0][-1], found[1][-1], rtol=0, atol=0)
    return {"out.out_unseen_layer0": found[0][-1]}


def auto_distiller(case: Any) -> dict[str, Any]:
    given = case.inputs
    table, labels, bias = given["teacher"], given["labels"], given["bias"]
    project = Projection(given["z"].shape[1], table.shape[1], head="layer_norm").to(case.dtype)
    own = {"dense.weight": given["Wd"], "dense.bias": given["bd"], "norm.weight": given["ln_g"], "norm.bias": given["ln_b"]}
    student = functional_call(project, own, (given["z"], 0.0))
    expected = expected_count(len(table), case.hyper["num_tries"])
    full = identify(student, table.detach(), labels, bias)
    live = identify(student, table, labels)
    sampled = {"sampled": given["sampled_ids"], "expected": expected}
    return {
        "out.student": student,
        "out.loss_full": full,
        "out.expected_count_all": expected,
        "out.loss_sampled": identify_sampled(student, table.detach(), labels, bias, **sampled),
        "out.loss_infonce_nostop": live,
        "out.loss_l2cos": apart(student, table[labels]),
        "out.loss_inbatch_cos": identify_in_batch(student, table[labels], labels, temperature=case.hyper["tau"]),
        **case.gradients(full.sum(), "_full_sum"),
        **case.gradients(live.sum(), "_infonce_nostop"),
    }


def align_loss(case: Any) -> Any:
    layers = case.inputs["layers"]
    found = vectors(list(layers.unbind(1)), part_by_part=True)
    squared = {name: (found[pairs[:, 0]] - found[pairs[:, 1]]).square().sum(1) for name, pairs in pairs_of(case).items()}
    hyper = {"margin": case.hyper["margin"], "weight": case.hyper["neg_weight"]}
    loss = contrastive(squared["pos"], squared["neg"], **hyper)
    hinge = (hyper["margin"] - squared["neg"]).relu()
    given = {"out.concat": found, "out.pos_sq": squared["pos"], "out.neg_hinge": hinge, "out.loss": loss}
    return given | case.gradients(loss)


def pairs_of(case: Any) -> dict[str, Any]:
    return {name: case.inputs[name] for name in ("pos", "neg")}


def number(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def align_eval(case: Any) -> dict[str, Any]:
    similarity = case.inputs["e1"] @ case.inputs["e2"].T
    scaled = csls(similarity, neighbors=case.hyper["csls_k"])
    target = torch.arange(len(similarity))
    given = {"out.sim": similarity, "out.csls": scaled}
    for name, scores_ in (("", similarity), ("_csls", scaled)):
        found = ranks(scores_, target)
        result = summary(found)
        hits = torch.stack([(found[:, 0] <= k).double().mean() for k in (1, 5, 10)])
        given |= {f"out.ranks{name}": found[:, 0], f"out.mrr{name}": number(result["mrr"])}
        given |= {f"out.mr{name}": number(result["mr"]), f"out.hits{name or '_1_5_10'}": hits}
    return given


def link_pred(case: Any) -> Any:
    head, relation = (F.normalize(case.inputs[name], dim=-1) for name in ("h", "r"))
    target, known = case.inputs["target"], case.inputs["known_mask"]
    predictions = {"distmult": distmult, "transe": transe, "complex": complex_product}
    given = {f"out.pred_{name}": product(head, relation) for name, product in predictions.items()}
    found = scores(given["out.pred_distmult"], case.inputs["out_w"], case.inputs["out_b"])
    found[0, 8] = found[0, 7]  # the file has an exact tie there
    filtered, raw = ranks(found, target, known), ranks(found, target)
    result = summary(filtered)
    rows = [cross_entropy(row[None], label[None]) for row, label in zip(found, target, strict=True)]
    return given | {
        "out.scores": found,
        "out.rank_optimistic": filtered[:, 1],
        "out.rank_pessimistic": filtered[:, 2],
        "out.rank_average": filtered[:, 0],
        "out.rank_raw_average": raw[:, 0],
        "out.mrr": number(result["mrr"]),
        "out.mr": number(result["mr"]),
        "out.hits_1_3_10": torch.stack([number(result[f"hits{k}"]) for k in (1, 3, 10)]),
        "out.ce": torch.stack(rows),
    }


ADAPTERS = {
    "dan_graph": dan_graph,
    "dan_attention": dan_attention,
    "dan_forward": dan_forward,
    "dan_unseen": dan_unseen,
    "auto_distiller": auto_distiller,
    "align_loss": align_loss,
    "align_eval": align_eval,
    "link_pred": link_pred,
}

OUTPUTS = {
    "dan_graph": ("edge_*", "er_*"),
    "dan_attention": ("out_*", "alpha_*"),
    "dan_forward": ("out*", "grad_*"),
    "dan_unseen": ("out_*",),
    "auto_distiller": ("student", "loss_*", "grad_*", "expected_count_all"),
    "align_loss": ("concat", "pos_sq", "neg_hinge", "loss", "grad_*"),
    "align_eval": ("sim", "ranks*", "hits_*", "mrr*", "mr", "mr_csls", "csls"),
    "link_pred": ("pred_*", "scores", "rank_*", "mrr", "mr", "hits_*", "ce"),
}
