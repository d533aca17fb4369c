# SPDX-License-Identifier: BSD-3-Clause
"""Samples become results and ratios, and these a table, a Markdown page and a drawing."""

import statistics

FILL = {"softiov": "#4a9ad4", "softiov-vf": "#0f3d5e",
        "ovs-dpdk": "#e08e45", "testpmd": "#9aa5b1", "testpmd-same-flags": "#5f6b7a"}


def spread(values):
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "n": len(values)}


def median(values):
    found = spread(values)
    return found["median"] if found else None


def undisturbed(samples):
    """The blocks that had their processors to themselves; all of them if none had."""
    return [s for s in samples if not s["disturbed"]] or samples


def result(case, size, contender, blocks, **more):
    """One entry of `results` from the blocks of all rounds."""
    samples = undisturbed(blocks)
    entry = {"case": case, "size": size, "contender": contender,
             "mpps": spread([s.get("mpps") for s in samples]),
             "cycles_per_packet": median([s.get("cycles_per_packet") for s in samples]),
             "ring_full_pct": median([s.get("ring_full_pct") for s in samples]),
             "c2c_ns": [median([s["c2c_ns"][i] for s in samples]) for i in (0, 1)]}
    for key in ("p50_ns", "p99_ns", "loss_pct"):
        if any(key in s for s in samples):
            entry[key] = median([s.get(key) for s in samples])
    entry.update(more)
    entry["blocks"] = blocks
    return entry


def ratios(case, size, versus, ours, theirs):
    """Medians of the ratios of each round; `ours` and `theirs` are samples by round."""
    found = []
    names = {"mpps": "mpps", "cycles": "cycles_per_packet", "p50_ns": "p50_ns"}
    rounds = [(a, b) for a, b in zip(ours, theirs) if a and b]
    rounds = [(a, b) for a, b in rounds if not a["disturbed"] and not b["disturbed"]] or rounds
    for metric, key in names.items():
        pairs = [a[key] / b[key] for a, b in rounds if a.get(key) and b.get(key)]
        if pairs:
            found.append({"case": case, "size": size, "versus": versus, "metric": metric,
                          "ratio": statistics.median(pairs), "n": len(pairs),
                          "min": min(pairs), "max": max(pairs)})
    return found


def number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def rows(data):
    """Header and lines, as text."""
    lines = [["case", "size", "contender", "Mpps", "min-max", "good blocks", "cycles/packet", "ring full %",
              "loss %", "p50/p99 ns", "c2c ns"]]
    for r in data["results"]:
        if r["case"] == "idle":
            continue
        mpps = r["mpps"] or {}
        case = r["case"] + "".join(f" {r[key]}" for key in ("ports", "queues", "workers", "count") if key in r)
        latency = f"{r['p50_ns']:.0f}/{r['p99_ns']:.0f}" if r.get("p50_ns") else ""
        lines.append([case, str(r["size"]), r["contender"], number(mpps.get("median"), 2),
                      f"{mpps['min']:.2f}-{mpps['max']:.2f}" if mpps else "",
                      f"{sum(not b['disturbed'] for b in r['blocks'])}/{len(r['blocks'])}", number(r["cycles_per_packet"]),
                      number(r["ring_full_pct"]), number(r.get("loss_pct"), 2), latency,
                      "/".join(number(v, 0) for v in r["c2c_ns"])])
    return lines


def ratio_rows(data):
    lines = [["case", "size", "softiov over", "metric", "ratio", "min-max", "n"]]
    for r in data["ratios"]:
        case = r["case"] + "".join(f" {r[key]}" for key in ("ports", "queues", "count") if key in r)
        lines.append([case, str(r["size"]), r["versus"], r["metric"], f"{r['ratio']:.2f}",
                      f"{r['min']:.2f}-{r['max']:.2f}", str(r["n"])])
    return lines


def guest_rows(data):
    lines = [["between guests", "adapter", "Gbit/s", "kpps", "over igb", "CPU s/Gbit", "over igb", "of it the switch",
              "messages/s", "interrupts/s"]]
    for r in data.get("guests", []):
        lines.append([r["traffic"], r["adapter"], number(r["gbit_s"], 3), number(r.get("kpps")),
                      number(r["gbit_s_over_igb"], 2), number(r["cpu_s_per_gbit"], 2),
                      number(r["cpu_s_per_gbit_over_igb"], 2), f"{r['switch_cpu_pct']:.0f} %",
                      number(r.get("traps_per_s"), 0), number(r.get("irqs_per_s"), 0)])
    return lines if len(lines) > 1 else []


def table(lines):
    if not lines:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in lines)


def markdown_table(lines):
    if not lines:
        return ""
    out = ["| " + " | ".join(lines[0]) + " |", "|" + " --- |" * len(lines[0])]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines[1:]])


def idle_text(data):
    found = next((r for r in data["results"] if r["case"] == "idle"), None)
    if not found:
        return ""
    wake = found["first_frame"]
    return (f"Idle with {found['vfs']} VFs attached: {found['cpu_pct']:.2f} % of a core. First frame "
            f"after idleness: p50 {wake['p50_ns'] / 1e3:.0f} us, p90 {wake['p90_ns'] / 1e3:.0f} us, "
            f"p99 {wake['p99_ns'] / 1e3:.0f} us, most {wake['max_ns'] / 1e3:.0f} us "
            f"({wake['n']} frames).")


def text(data):
    parts = [table(rows(data)), table(ratio_rows(data)), idle_text(data), table(guest_rows(data))]
    parts.append("\n".join(f"left out: {line}" for line in data["left_out"]))
    return "\n\n".join(part for part in parts if part)


def markdown(data):
    machine = data["machine"]
    lines = [["", ""]] + [[key.replace("_", " "), str(value)] for key, value in machine.items()]
    return "\n\n".join(part for part in (
        f"Measured {data['date']}, {data['seconds_a_block']} s a block.",
        markdown_table(lines), markdown_table(rows(data)), markdown_table(ratio_rows(data)),
        idle_text(data), markdown_table(guest_rows(data)),
        "\n".join(f"- left out: {line}" for line in data["left_out"])) if part)


# --- drawing ---

WIDTH, PANEL, BAR, GAP = 1060, 250, 34, 18
TEXT = 'font-family="sans-serif" fill="#222"'


def panel(title, unit, bars, x, y, width):
    """bars: [(group, name, value, low, high)], drawn in order, groups apart."""
    bars = [b for b in bars if b[2] is not None]
    out = [f'<text x="{x}" y="{y - 12}" {TEXT} font-size="14" font-weight="bold">{title}</text>']
    if not bars:
        return out
    top = max(b[4] or b[2] for b in bars) * 1.15 or 1
    groups = list(dict.fromkeys(b[0] for b in bars))
    step = min(BAR, (width - 30 - GAP * len(groups)) / len(bars))
    at = x + GAP / 2

    def level(value):
        return y + PANEL - value / top * PANEL

    out.append(f'<line x1="{x}" y1="{y + PANEL}" x2="{x + width - 30}" y2="{y + PANEL}" '
               'stroke="#888"/>')
    for group in groups:
        mine = [b for b in bars if b[0] == group]
        middle = at + step * len(mine) / 2
        out.append(f'<text x="{middle:.0f}" y="{y + PANEL + 15}" {TEXT} font-size="11" '
                   f'text-anchor="middle">{group}</text>')
        for _, name, value, low, high in mine:
            out.append(f'<rect x="{at:.1f}" y="{level(value):.1f}" width="{step - 2:.1f}" '
                       f'height="{value / top * PANEL:.1f}" fill="{FILL.get(name, "#777")}">'
                       f'<title>{name}: {value:.2f} {unit}</title></rect>')
            if low is not None and high is not None:
                out.append(f'<line x1="{at + step / 2 - 1:.1f}" y1="{level(low):.1f}" '
                           f'x2="{at + step / 2 - 1:.1f}" y2="{level(high):.1f}" stroke="#222"/>')
            middle = at + step / 2 + 2
            base = level(max(value, high or value)) - 4
            out.append(f'<text x="{middle:.1f}" y="{base:.1f}" {TEXT} font-size="9" '
                       f'transform="rotate(-90 {middle:.1f} {base:.1f})">{value:.4g}</text>')
            at += step
        at += GAP
    return out


def bars_of(data, cases, value, span=None, only=None):
    found = []
    for r in data["results"]:
        if r["case"] not in cases or (only and r["size"] not in only):
            continue
        name = r["contender"]
        if r["case"].endswith("vf"):
            if name != "softiov":
                continue  # the peers' samples are the same as beside the synthetic
            name = "softiov-vf"
        low, high = span(r) if span else (None, None)
        label = f"{r['ports']}" if "ports" in r else f"{r['size']} B"
        found.append((label, name, value(r), low, high))
    return sorted(found, key=lambda b: [int(b[0].split()[0]), list(FILL).index(b[1])])


def drawing(data):
    def mpps(r):
        return r["mpps"]["median"] if r["mpps"] else None

    def mpps_span(r):
        return (r["mpps"]["min"], r["mpps"]["max"]) if r["mpps"] else (None, None)

    def cycles(r):
        return r["cycles_per_packet"]

    half = WIDTH // 2
    out = []
    base = ("synthetic", "vf")
    out += panel("Frames one way, one switch core: Mpps", "Mpps",
                 bars_of(data, base, mpps, mpps_span), 30, 110, half)
    out += panel("Cycles of the switch core for a packet", "cycles", bars_of(data, base, cycles),
                 30 + half, 110, half)
    out += panel("One frame, one way, p50 and p99: ns", "ns",
                 bars_of(data, ("latency", "latency-vf"), lambda r: r.get("p50_ns"),
                         lambda r: (r.get("p50_ns"), r.get("p99_ns"))), 30, 450, half)
    out += panel("Cycles for a packet, by number of ports", "cycles",
                 bars_of(data, ("ports", "ports-vf"), cycles), 30 + half, 450, half)
    legend, at = [], 30
    for name, colour in FILL.items():
        label = {"softiov": "softiov, synthetic", "softiov-vf": "softiov, VF"}.get(name, name)
        legend.append(f'<rect x="{at}" y="48" width="12" height="12" fill="{colour}"/>'
                      f'<text x="{at + 17}" y="58" {TEXT} font-size="12">{label}</text>')
        at += 40 + 7 * len(label)
    head = (f'<text x="30" y="28" {TEXT} font-size="17">softiov and its peers, medians of '
            f'interleaved blocks, {data["date"]}</text>'
            f'<text x="30" y="{760}" {TEXT} font-size="11">{data["machine"]["cpu"]}, '
            f'{data["machine"]["system"]}; lines: smallest to largest, for latency p50 to p99'
            '</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 60}" height="780">'
            f'<rect width="100%" height="100%" fill="white"/>{head}{"".join(legend)}'
            f'{"".join(out)}</svg>\n')
