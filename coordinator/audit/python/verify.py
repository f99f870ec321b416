#!/usr/bin/env python3
"""Verifies an export of a Tacit release ledger, sharing no code with the Rust verifier.

    python3 verify.py EXPORT [--coordinator-key HEX] [--helper-key HEX]

Needs Python 3.9 and nothing else. Prints the numbers as JSON and exits 0, or names the first wrong thing on standard error
and exits 1. Lines are counted from 0, like their `seq`. What is odd but not wrong goes to standard error as a warning.

Read it top to bottom: signatures, canonical bytes, the price of a release, the conversion to epsilon, then the export.
What it cannot show: that noise was really added, and that coordinator and helper are separate and honest.
"""

import argparse
import hashlib
import json
import math
import os
import re
import sys
from decimal import Decimal, localcontext

LINE_MAX, FILE_MAX, ENTRIES_MAX = 1 << 20, 1 << 30, 100_000
FOLDERS = ("heads", "models", "sums", "tickets")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ZEROS = "0" * 64


class Wrong(Exception):
    """The first wrong thing, with its place."""


def shown(text):
    """A text of others for a terminal: control characters, bidirectional ones included, as \\u{..}."""
    return CONTROL.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", str(text))


def sha256(data):
    return hashlib.sha256(data).digest()


# --- Ed25519 (RFC 8032, section 5.1), verification only; points in extended coordinates (X, Y, Z, T) ---

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    left, right, low, high = f - e, h - g, h + g, f + e
    return (left * right % P, low * high % P, right * low % P, left * high % P)


def point_times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_decode(data):
    """The point, or None for bytes that are not exactly one point's encoding."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def small_order(point):
    return point_equal(point_times(8, point), (0, 1, 1, 0))


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signature_holds(key, context, message, signature):
    """Strict: canonical scalar, no points of small order."""
    signed = context + b"\0" + message
    a, r, s = point_decode(key), point_decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or small_order(a) or small_order(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + signed).digest(), "little") % ORDER
    return point_equal(point_times(s, BASE), point_add(r, point_times(k, a)))


# --- Canonical JSON and the fields of a line ---


def refuse_number(text):
    raise ValueError(f"{text[:40]} is not an integer")


def canonical(data):
    """Decodes bytes that are in the one canonical spelling."""
    try:
        value = json.loads(data.decode("utf-8"), parse_float=refuse_number, parse_constant=refuse_number)
        again = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Wrong(f"not canonical JSON: {error}") from None
    if again != data:
        raise Wrong("not canonical JSON: keys are unsorted or repeated, or there is extra white space")
    return value


def whole(bits):
    return lambda value: type(value) is int and 0 <= value < 1 << bits


def text_like(pattern):
    compiled = re.compile(pattern)
    return lambda value: type(value) is str and compiled.fullmatch(value) is not None


def decimal_up_to(limit):
    plain = text_like(r"0|[1-9][0-9]{0,38}")
    return lambda value: plain(value) and int(value) <= limit


def any_text(value):
    return type(value) is str


def yes_or_no(value):
    return type(value) is bool


U32, U64, U128 = whole(32), whole(64), decimal_up_to((1 << 128) - 1)
DIGEST, RHO, TASK = text_like("[0-9a-f]{64}"), decimal_up_to(1 << 96), text_like("[a-z0-9-]{1,64}")

MECHANISM = {
    "tier": text_like("helper|local"), "length": U32, "row_width": U32, "row_cap_milli": U32, "history_max": U32,
    "nnz_max": U32, "steps": U32, "sigma2": U64, "n_min": U32, "cohort_max": U32, "helper_noise": yes_or_no,
}
COMMON = {
    "schema": U32, "ledger_id": DIGEST, "generation": U32, "seq": U64, "prev_hash": DIGEST,
    "keeper": text_like("coordinator|helper"), "time_bucket": U64, "event": any_text,
}
CHARGE = {
    "task": TASK, "round": U32, "kind": any_text, "ticket_hash": DIGEST, "model_in_hash": DIGEST,
    "mechanism": lambda value: fields_fit(value, MECHANISM), "squared_sensitivity": U128, "total_variation": U128,
    "rho": RHO, "rho_total": RHO, "dishonest_milli": U32, "dropout_milli": U32, "participation_index": U32,
    "separation": U32, "sampler": any_text, "rng": any_text, "table_hash": DIGEST, "build_hash": DIGEST, "unit": any_text,
    "adjacency": any_text,
}
HEAD = {
    "ledger_id": DIGEST, "generation": U32, "size": U64, "root": DIGEST, "helper_size": U64, "helper_last_hash": DIGEST,
}
EVENTS = {
    "genesis": {"task": TASK, "model_out_hash": DIGEST, "catalogue_hash": DIGEST, "rho_budget": RHO},
    "release": {
        **CHARGE, "contributors": U32, "set_digest": DIGEST, "sum_digest": DIGEST, "helper_line_hash": DIGEST,
        "model_out_hash": DIGEST,
    },
    "abandoned": {**CHARGE, "contributors": U32, "reason": any_text},
    "empty": {
        "task": TASK, "round": U32, "ticket_hash": DIGEST, "ticket_rho": RHO, "free_rounds": U32, "reason": any_text,
        "helper_generation": U32, "certificate": any_text,
    },
    "restarted": {},
    "restored": {"last_head": lambda value: fields_fit(value, HEAD), "helper_size": U64, "lost": U32},
    "countersigned": {"task": TASK, "round": U32, "ticket_hash": DIGEST, "rho": RHO, "participation_index": U32},
    "answered": {
        "task": TASK, "round": U32, "ticket_hash": DIGEST, "contributors": U32, "set_digest": DIGEST,
        "mask_digest": DIGEST,
    },
}


def fields_fit(value, fields):
    return type(value) is dict and value.keys() == fields.keys() and all(fits(value[k]) for k, fits in fields.items())


def decode_line(data):
    line = canonical(data)
    event = line.get("event") if type(line) is dict else None
    if type(event) is not str or event not in EVENTS:
        raise Wrong("is not a ledger line")
    if not fields_fit(line, {**COMMON, **EVENTS[event]}):
        raise Wrong(f"a field of this {event} line is missing, unknown or out of range")
    return line


# --- What follows from the public numbers of a release; exact integers in grid steps ---


def ceil_div(a, b):
    return -(-a // b)


def check_mechanism(m):
    for name, most in [
        ("length", 4194304), ("row_width", m["length"]), ("row_cap_milli", 1000), ("history_max", 1 << 20),
        ("nnz_max", m["length"]), ("steps", 1 << 20), ("cohort_max", 1 << 24), ("n_min", m["cohort_max"]),
    ]:
        if not 1 <= m[name] <= most:
            raise Wrong(f"mechanism: {name} is out of range")
    if m["length"] % m["row_width"]:
        raise Wrong("mechanism: row_width does not divide length")
    if m["sigma2"] > 1 << 48:
        raise Wrong("mechanism: sigma2 is out of range")
    if m["tier"] == "local" and m["n_min"] != 1:
        raise Wrong("mechanism: n_min must be 1 in the local tier")
    if m["tier"] == "local" and m["helper_noise"]:
        raise Wrong("mechanism: there is no helper noise in the local tier")
    if m["sigma2"] < 16 * m["n_min"]:
        raise Wrong("mechanism: a noise share is below 4 grid steps of standard deviation")
    if m["sigma2"] // m["n_min"] > 1 << 26:
        raise Wrong("mechanism: sigma2 / n_min is above 2^26")
    if m["helper_noise"] and m["sigma2"] > 1 << 30:
        raise Wrong("mechanism: sigma2 is too large for helper noise")
    if m["steps"] ** 2 < 25 * m["nnz_max"]:
        raise Wrong("mechanism: steps is too small for nnz_max")
    own = m["sigma2"] if m["helper_noise"] else 0
    deviation = math.isqrt(ceil_div(m["sigma2"] * m["cohort_max"], m["n_min"]) + own) + 1
    if m["cohort_max"] * (m["steps"] + 1) + 16 * deviation >= 1 << 31:
        raise Wrong("mechanism: the sum could pass 2^31")


def squared_sensitivity(m):
    """floor(min((G + sqrt z)^2, G^2 + z/4 + G + sqrt(z)/2)) (Kairouz, Liu & Steinke 2021, theorem 1, beta = e^-1/2)."""
    g, z = m["steps"], m["nnz_max"]
    return min(g * g + z + math.isqrt(4 * g * g * z), (4 * (g * g + g) + z + math.isqrt(4 * z)) // 4)


def price(m):
    """B2 / (2 sigma^2) in units of 2^-64, rounded up; one unit covers tau N / 4 of a sum of shares (s >= 4).

    Stops at 2^96 units, rho = 2^32, which no budget pays for.
    """
    return min(ceil_div(squared_sensitivity(m) << 63, m["sigma2"]) + (m["tier"] == "helper"), 1 << 96)


def sent_length(m):
    """Coordinates a device sends: zeros follow a short vector until its noise has 256 bits of min-entropy."""
    doubled_bits = (6 * m["sigma2"] // m["n_min"]).bit_length() - 1
    return max(m["length"], ceil_div(512, doubled_bits))


def total_variation(m):
    """Units of 2^-128: one per outcome of a table that reaches 16 s, and one for both tails; all draws together."""
    def draw(variance, shares):
        return 2 * (math.isqrt(ceil_div(256 * variance, shares)) + 1) + 2
    helper = draw(m["sigma2"], 1) if m["helper_noise"] else 0
    return sent_length(m) * (draw(m["sigma2"], m["n_min"]) * m["cohort_max"] + helper)


CONSTANTS = [("sampler", "table128"), ("rng", "chacha20"), ("unit", "device"), ("adjacency", "zero-out")]


def set_min(m, dishonest_milli):
    return ceil_div(1000 * m["n_min"], 1000 - dishonest_milli)


# --- From rho to epsilon (Canonne, Kamath & Steinke 2020, proposition 12) ---

CONVERSION = "zCDP, optimal conversion (Canonne-Kamath-Steinke 2020, prop. 12)"
DELTAS = ["1e-5", "1e-6", "1e-8", "1e-10"]


def epsilon_ideal(rho, delta):
    """min over alpha > 1 of alpha rho + (ln(1/delta) + alpha ln(1 - 1/alpha) - ln(alpha - 1)) / (alpha - 1).

    Its derivative, rho - (ln(1/delta) - ln alpha) / (alpha - 1)^2, changes sign once: bisect on ln(alpha - 1).
    """
    if rho == 0:
        return Decimal(0)
    low, high = Decimal(-40), Decimal(80)
    for _ in range(120):
        middle = (low + high) / 2
        excess = middle.exp()
        if rho * excess * excess < -delta.ln() - (1 + excess).ln():
            low = middle
        else:
            high = middle
    excess = ((low + high) / 2).exp()
    alpha = 1 + excess
    log_term = -delta.ln() + alpha * (excess / alpha).ln() - excess.ln()
    return max(alpha * rho + log_term / excess, Decimal(0))


def epsilon(rho_units, variation_units, delta_text):
    """Smallest epsilon proved at delta, or None. Imperfect samplers take (1 + e^epsilon) TV out of delta."""
    with localcontext() as context:
        context.prec = 50
        rho, delta = Decimal(rho_units) / 2**64, Decimal(delta_text)
        corrected = epsilon_ideal(rho, delta)
        if variation_units:
            room = corrected + 1
            # e^700 times the smallest variation there is passes every delta.
            left = delta - (1 + room.exp()) * Decimal(variation_units) / 2**128 if room < 700 else 0
            if left <= 0:
                return None
            corrected = epsilon_ideal(rho, left)
            if corrected > room:
                return None
        return math.nextafter(float(corrected), math.inf) if corrected else 0.0


# --- Reading the export ---


def survey(folder):
    """Refuses anything but plain files in the folders an export may have, and too many of them, before one is read."""
    left = ENTRIES_MAX
    for inside in ("", *FOLDERS):
        path = os.path.join(folder, inside)
        if inside and not os.path.isdir(path):
            continue
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        raise Wrong(f"the export: holds more than {ENTRIES_MAX} files")
                    place = inside + "/" + entry.name if inside else entry.name
                    is_folder = place in FOLDERS and entry.is_dir(follow_symlinks=False)
                    if not is_folder and not entry.is_file(follow_symlinks=False):
                        raise Wrong(f"{place}: is not a plain file")
        except OSError as error:
            raise Wrong(f"{inside or 'the export'}: {error.strerror}") from None


def open_bounded(folder, name):
    path = os.path.join(folder, name)
    try:
        if os.path.islink(path) or not os.path.isfile(path):
            raise Wrong(f"{name}: is missing or not a plain file")
        if os.path.getsize(path) > FILE_MAX:
            raise Wrong(f"{name}: is larger than 1 GiB")
        return open(path, "rb")
    except OSError as error:
        raise Wrong(f"{name}: {error.strerror}") from None


def read_small(folder, name):
    with open_bounded(folder, name) as file:
        data = file.read(LINE_MAX + 1)
    if len(data) > LINE_MAX:
        raise Wrong(f"{name}: is larger than 1 MiB")
    return data


def read_lines(folder, name):
    with open_bounded(folder, name) as file:
        number = 0
        while data := file.readline(LINE_MAX + 1):
            if not data.endswith(b"\n"):
                raise Wrong(f"{name} line {number}: does not end within 1 MiB with a line feed")
            yield data[:-1]
            number += 1


def file_digest(folder, name):
    digest = hashlib.sha256()
    with open_bounded(folder, name) as file:
        while piece := file.read(1 << 16):
            digest.update(piece)
    return digest.hexdigest()


def listing(folder, name):
    try:
        return sorted(os.listdir(os.path.join(folder, name)))
    except OSError as error:
        raise Wrong(f"{name}/: {error.strerror}") from None


class Chain:
    """What holds for every line of either ledger."""

    def __init__(self, file, keeper):
        self.file, self.keeper = file, keeper
        self.next, self.last_hash, self.ledger_id, self.generation, self.time = 0, ZEROS, None, 0, 0

    def accept(self, data, also):
        """Checks the frame of the next line, then `also(line)`."""
        number = self.next
        try:
            line = decode_line(data)
            self.check(line)
            self.ledger_id, self.generation, self.time = line["ledger_id"], line["generation"], line["time_bucket"]
            self.last_hash = sha256(data).hex()
            self.next += 1
            also(line)
        except Wrong as wrong:
            raise Wrong(f"{self.file} line {number}: {wrong}") from None

    def check(self, line):
        checks = [
            (line["schema"] == 2, "schema is not 2"),
            (line["keeper"] == self.keeper, f"is not kept by the {self.keeper}"),
            (line["seq"] == self.next, f"seq is {line['seq']}"),
            (line["prev_hash"] == self.last_hash, "prev_hash is not the hash of the line before"),
            (self.ledger_id in (None, line["ledger_id"]), "ledger_id changes inside the ledger"),
            (line["generation"] >= self.generation, "generation falls"),
            (line["time_bucket"] >= self.time, "time_bucket falls"),
        ]
        for holds, problem in checks:
            if not holds:
                raise Wrong(problem)


def same(field, said, computed):
    if int(said) != computed:
        raise Wrong(f"{field} is {said} but its numbers give {computed}")


class Ledger:
    """The coordinator's ledger, replayed."""

    FILE = "ledger.jsonl"

    def __init__(self, folder):
        self.chain = Chain(self.FILE, "coordinator")
        self.genesis, self.model, self.charged, self.empty, self.last_round = None, None, [], [], None
        self.leaves, self.generations, self.models, self.restarts = [], [], [], 0
        self.rho, self.variation = 0, 0
        self.restores, self.lost_to_come = [], 0
        for data in read_lines(folder, self.FILE):
            self.chain.accept(data, self.take)
            self.leaves.append(sha256(b"\0" + data))
        if self.genesis is None:
            raise Wrong(f"{self.FILE}: has no lines")
        if self.lost_to_come:
            last = self.chain.next - 1
            raise Wrong(f"{self.FILE} line {last}: {self.lost_to_come} lines of rounds lost in the restore are missing")

    def take(self, line):
        event, before = line["event"], self.generations[-1] if self.generations else line["generation"]
        self.generations.append(line["generation"])
        lost = self.lost_to_come > 0
        if lost and (event not in ("abandoned", "empty") or line["generation"] != before):
            raise Wrong(f"{self.lost_to_come} more lines of rounds lost in the restore must come first")
        self.lost_to_come -= lost
        if event != "restored" and line["generation"] != before:
            raise Wrong("generation rises without a restore")
        if (self.genesis is None) != (event == "genesis"):
            raise Wrong("is a second genesis line" if self.genesis else "is not the genesis line")
        if event == "genesis":
            self.genesis = line
            self.publish(line)
        elif event in ("countersigned", "answered"):
            raise Wrong("is a helper's line")
        elif event == "restarted":
            self.restarts += 1
        elif event == "restored":
            self.begin_generation(line, before)
        elif event == "empty":
            self.check_next(line)
            same("free_rounds", line["free_rounds"], len(self.empty) + 1)
            self.empty.append(line)
        else:
            self.spend(line, lost)

    def begin_generation(self, line, before):
        last = line["last_head"]
        if last["ledger_id"] != line["ledger_id"] or last["generation"] < before:
            raise Wrong("last_head is of another ledger or an earlier generation")
        if line["generation"] != last["generation"] + 1:
            raise Wrong("generation is not the next after last_head's")
        self.lost_to_come = line["lost"]
        self.restores.append((line, self.last_round or 0))

    def publish(self, line):
        self.model = line["model_out_hash"]
        self.models.append((line["seq"], self.model))

    def check_next(self, line):
        if line["task"] != self.genesis["task"]:
            raise Wrong("task is not the genesis line's")
        if self.last_round is not None and line["round"] <= self.last_round:
            raise Wrong(f"round {line['round']} does not come after the one before it")
        self.last_round = line["round"]

    def spend(self, line, lost):
        m = line["mechanism"]
        check_mechanism(m)
        if line["dishonest_milli"] > 999 or line["dropout_milli"] > 999:
            raise Wrong("dishonest_milli and dropout_milli must be below 1000")
        same("squared_sensitivity", line["squared_sensitivity"], squared_sensitivity(m))
        same("rho", line["rho"], price(m))
        same("total_variation", line["total_variation"], total_variation(m))
        for field, expected in CONSTANTS:
            if line[field] != expected:
                raise Wrong(f"{field} is {line[field][:60]} and must be {expected}")
        least = set_min(m, line["dishonest_milli"]) if line["event"] == "release" else 0
        if not least <= line["contributors"] <= m["cohort_max"]:
            raise Wrong(f"contributors is {line['contributors']} and must be from {least} to {m['cohort_max']}")
        if line["model_in_hash"] != self.model and not lost:  # a round lost in a restore had another model
            raise Wrong("model_in_hash is not the latest model before it")
        self.check_next(line)
        self.rho += int(line["rho"])
        self.variation += int(line["total_variation"])
        if int(line["rho_total"]) != self.rho:
            raise Wrong(f"rho_total is {line['rho_total']} but the lines so far add up to {self.rho}")
        if self.rho > int(self.genesis["rho_budget"]):
            raise Wrong(f"rho_total is {self.rho} and passes the budget of {self.genesis['rho_budget']}")
        before = self.charged[-1]["round"] if self.charged else line["round"]
        same("participation_index", line["participation_index"], len(self.charged) + 1)
        same("separation", line["separation"], line["round"] - before)
        self.charged.append(line)
        if line["event"] == "release":
            self.publish(line)


class Helper:
    """The helper's ledger, replayed."""

    FILE, SIGNATURES = "helper.jsonl", "helper.sig"

    def __init__(self, folder, key):
        self.chain, self.answers, self.hash = Chain(self.FILE, "helper"), {}, ZEROS
        self.hashes, self.countersigned = [], {}
        signatures = read_lines(folder, self.SIGNATURES)
        for number, data in enumerate(read_lines(folder, self.FILE)):
            signature = next(signatures, None)
            place = f"{self.SIGNATURES} line {number}"
            if signature is None:
                raise Wrong(f"{place}: is missing")
            if not re.fullmatch(rb"[0-9a-f]{128}", signature):
                raise Wrong(f"{place}: is not a signature in lower-case hexadecimal")
            if not signature_holds(key, b"tacit line v2", data, bytes.fromhex(signature.decode())):
                raise Wrong(f"{place}: is not the helper's signature of that line of {self.FILE}")
            self.hash = sha256(data).hex()
            self.hashes.append(self.hash)
            self.chain.accept(data, self.take)
        if next(signatures, None) is not None:
            raise Wrong(f"{self.SIGNATURES} line {self.chain.next}: signs no line of {self.FILE}")

    def take(self, line):
        if line["event"] == "restarted":
            return
        if line["event"] == "countersigned":
            same("participation_index", line["participation_index"], len(self.countersigned) + 1)
            self.countersigned[line["ticket_hash"]] = line
            return
        if line["event"] != "answered":
            raise Wrong("is a coordinator's line")
        if line["ticket_hash"] not in self.countersigned:
            raise Wrong("answers a ticket that was not countersigned before")
        key = (line["task"], line["round"])
        if key in self.answers:
            raise Wrong(f"round {line['round']} was answered on an earlier line")
        self.answers[key] = (line, self.hash)

    def match(self, charged):
        """One to one: a round stands at most once in each ledger."""
        unmatched = dict(self.answers)
        for line in charged:
            answer = unmatched.pop((line["task"], line["round"]), None)
            for field in self.disagreement(line, answer):
                raise Wrong(f"{Ledger.FILE} line {line['seq']}: {field}")
        for line, _ in sorted(unmatched.values(), key=lambda answer: answer[0]["seq"]):
            raise Wrong(f"{self.FILE} line {line['seq']}: round {line['round']} was answered, but is not in {Ledger.FILE}")

    def check_tickets(self, ended, warnings):
        """The ticket of every round of the ledger was countersigned, at that price."""
        for line in ended:
            signed, place = self.countersigned.get(line["ticket_hash"]), f"{Ledger.FILE} line {line['seq']}"
            if signed is None:
                raise Wrong(f"{place}: {self.FILE} does not say that its ticket was countersigned")
            price_of = line["ticket_rho"] if line["event"] == "empty" else line["rho"]
            if signed["round"] != line["round"] or signed["rho"] != price_of:
                raise Wrong(f"{place}: round or price differs from the countersigned line in {self.FILE}")
        opened = {line["ticket_hash"] for line in ended}
        for ticket, line in self.countersigned.items():
            if ticket not in opened:
                warnings.append(
                    f"{self.FILE} line {line['seq']}: the ticket of round {line['round']} stands in no line of {Ledger.FILE}, "
                    "so it was never offered"
                )

    def check_end(self, head):
        """What a head says of this ledger."""
        size = head["helper_size"]
        if size > len(self.hashes):
            raise Wrong(f"helper_size is {size} and {self.FILE} has {len(self.hashes)} lines")
        if head["helper_last_hash"] != (self.hashes[size - 1] if size else ZEROS):
            raise Wrong(f"helper_last_hash is not the hash of the last of the first {size} lines of {self.FILE}")

    def check_restores(self, restores, ended):
        """No ticket that was countersigned before a restore is left out of it."""
        known = {line["ticket_hash"] for line in ended}
        for line, after in restores:
            try:
                self.check_end(line["last_head"])
                if not line["last_head"]["helper_size"] <= line["helper_size"] <= len(self.hashes):
                    raise Wrong(f"helper_size is {line['helper_size']} and {self.FILE} has {len(self.hashes)} lines")
                for signed in self.countersigned.values():
                    since = signed["seq"] < line["helper_size"] and signed["round"] > after
                    if since and signed["ticket_hash"] not in known:
                        left_out = f"the ticket of round {signed['round']}, which was countersigned before it"
                        raise Wrong(f"the restore leaves out {left_out}")
            except Wrong as wrong:
                raise Wrong(f"{Ledger.FILE} line {line['seq']}: {wrong}") from None

    @staticmethod
    def disagreement(line, answer):
        released = line["event"] == "release"
        if answer is None:
            if released:
                yield f"{Helper.FILE} has no answer for this round"
            return
        if released and line["helper_line_hash"] != answer[1]:
            yield f"helper_line_hash is not the hash of {Helper.FILE} line {answer[0]['seq']}"
        for field in ["contributors", "set_digest", "ticket_hash"] if released else ["ticket_hash"]:
            if line[field] != answer[0][field]:
                yield f"{field} differs from {Helper.FILE} line {answer[0]['seq']}"


def check_empty(ledger, key):
    """A round costs nothing only with the helper's certificate that nobody entered it, for that very ticket."""
    for line in ledger.empty:
        said = {"generation": line["helper_generation"], "ticket_hash": line["ticket_hash"]}
        message = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        holds = SIGNATURE(line["certificate"]) and signature_holds(
            key, b"tacit empty v2", message, bytes.fromhex(line["certificate"])
        )
        if not holds:
            raise Wrong(f"{Ledger.FILE} line {line['seq']}: its certificate is not the helper's for this ticket")


def merkle_root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"")
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle_root(leaves[:split]) + merkle_root(leaves[split:]))


SIGNATURE = text_like("[0-9a-f]{128}")
SIGNED_HEAD = {
    "head": lambda value: fields_fit(value, HEAD), "coordinator_signature": SIGNATURE, "helper_signature": SIGNATURE,
}


def check_head(name, data, ledger, keys):
    signed = canonical(data)
    if not fields_fit(signed, SIGNED_HEAD):
        raise Wrong("is not a signed head")
    head = signed["head"]
    size, lines = head["size"], len(ledger.leaves)
    if name != f"{size:08}.json":
        raise Wrong(f"speaks of {size} lines, which is not its name")
    message = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    for party, key in keys.items():
        if not signature_holds(key, b"tacit head v2", message, bytes.fromhex(signed[party + "_signature"])):
            raise Wrong(f"is not signed by the {party}")
    if head["ledger_id"] != ledger.chain.ledger_id:
        raise Wrong("is the head of another ledger")
    if size > lines:
        raise Wrong(f"covers {size} lines and {Ledger.FILE} has {lines}: it was rolled back")
    if merkle_root(ledger.leaves[:size]).hex() != head["root"]:
        raise Wrong("its root is not the root of these lines: it is of a fork")
    least = ledger.generations[size - 1] if size else 0
    most = ledger.generations[size] if size < lines else (1 << 32) - 1
    if not least <= head["generation"] <= most:
        raise Wrong(f"generation is {head['generation']}, which the lines do not have there")
    return head


def check_head_of_helper(head, before, helper):
    """What a head says of the helper's ledger is so, and not less than the head before it said."""
    size = head["helper_size"]
    if size < before:
        raise Wrong(f"helper_size falls from {before} to {size}")
    helper.check_end(head)


def check_heads(folder, ledger, helper, keys, warnings):
    sizes, of_helper = [0], 0
    for name in listing(folder, "heads"):
        file = f"heads/{name}"
        if not name.endswith(".json"):
            warnings.append(f"{file} is not a head and was not read")
            continue
        data = read_small(folder, file)
        try:
            head = check_head(name, data, ledger, keys)
            # Names sort by size, so these heads come in the order they were signed.
            check_head_of_helper(head, of_helper, helper)
            of_helper = head["helper_size"]
            sizes.append(head["size"])
        except Wrong as wrong:
            raise Wrong(f"{file}: {wrong}") from None
    if max(sizes) < len(ledger.leaves):
        raise Wrong(f"no signed head covers line {max(sizes)} of {Ledger.FILE}")
    if of_helper < len(helper.hashes):
        raise Wrong(f"{Helper.FILE} line {of_helper}: is under no signed head")
    return len(sizes) - 1


def check_models(folder, ledger, warnings):
    present, named = set(listing(folder, "models")), set()
    for seq, model in ledger.models:
        name = f"{model}.bin"
        if name not in present:
            raise Wrong(f"{Ledger.FILE} line {seq}: its model is missing: models/{name}")
        if name not in named and file_digest(folder, f"models/{name}") != model:
            raise Wrong(f"models/{name}: its SHA-256 is not its name")
        named.add(name)
    warnings.extend(f"models/{name} is named by no line" for name in sorted(present - named))


EVALUATION_LENGTH, PAIRED = 32, 6  # coordinates of an evaluation, and the place of wins less losses
MODEL_MAGIC = b"TCTSPEC1"


def without_factors(model):
    """A spectral model's bytes with its factors cut off: header of magic, M, M', d, K and two exponents."""
    if len(model) < 32 or model[:8] != MODEL_MAGIC:
        return None
    block, factors = int.from_bytes(model[12:16], "little"), int.from_bytes(model[16:20], "little")
    if len(model) < 32 + 4 * block * factors:
        return None
    return model[:16] + bytes(4) + model[20:len(model) - 4 * block * factors]


def read_sum(folder, line):
    """The sum of an evaluation, in grid steps."""
    file = f"sums/{line['sum_digest']}.bin"
    data = read_small(folder, file)
    if sha256(data).hex() != line["sum_digest"]:
        raise Wrong(f"{file}: its SHA-256 is not its name")
    if not len(data) == 4 * line["mechanism"]["length"] == 4 * EVALUATION_LENGTH:
        raise Wrong(f"{file}: is not a sum of the line's length")
    return [int.from_bytes(data[at:at + 4], "little", signed=True) for at in range(0, len(data), 4)]


def check_decision(folder, line, wins):
    """What is published is the evaluated model, or that model without factors; integers decide, so no rounding does."""
    m = line["mechanism"]
    # Noise variance in grid steps squared: sigma2 (contributors / n_min + helper).
    variance = m["sigma2"] * (line["contributors"] + m["n_min"] * m["helper_noise"])
    above, below = (wins > 0) and wins * wins * m["n_min"] > variance, (wins < 0) and wins * wins * m["n_min"] > variance
    with open(os.path.join(folder, "models", f"{line['model_in_hash']}.bin"), "rb") as file:
        evaluated = file.read()
    bare = without_factors(evaluated)
    if line["model_out_hash"] == line["model_in_hash"]:
        if below and bare not in (None, evaluated):
            raise Wrong("keeps factors that lost to popularity")
    elif bare is None or sha256(bare).hex() != line["model_out_hash"]:
        raise Wrong("its model is neither the evaluated one nor that one without its factors")
    elif above:
        raise Wrong("drops factors that beat popularity")


def check_sums(folder, ledger, warnings):
    """The sums of evaluations are exported themselves, and the model that follows them follows from them."""
    named = set()
    for line in ledger.charged:
        if line["event"] != "release" or line["kind"] != "metrics":
            continue
        wins = read_sum(folder, line)[PAIRED]
        try:
            check_decision(folder, line, wins)
        except Wrong as wrong:
            raise Wrong(f"{Ledger.FILE} line {line['seq']}: {wrong}") from None
        named.add(f"{line['sum_digest']}.bin")
    if os.path.isdir(os.path.join(folder, "sums")):
        extra = sorted(set(listing(folder, "sums")) - named)
        warnings.extend(f"sums/{name} is named by no line" for name in extra)


TICKET_FILE = {"ticket": any_text, "coordinator_signature": SIGNATURE, "helper_signature": SIGNATURE}
FROM_TICKET_OF_EMPTY = ["task", "round"]
FROM_TICKET = ["task", "round", "kind", "model_in_hash", "mechanism", "dishonest_milli", "dropout_milli"]


def check_ticket_price(line, ticket):
    """What a device that took part has spent follows from the ticket's mechanism."""
    m = ticket.get("mechanism")
    try:
        priced = fields_fit(m, MECHANISM)
        if priced:
            check_mechanism(m)
            priced = price(m) == int(line["ticket_rho"])
    except Wrong:
        priced = False
    if not priced:
        raise Wrong(f"{Ledger.FILE} line {line['seq']}: ticket_rho is not what its ticket says")


def read_ticket(data, expected_hash, keys):
    signed = canonical(data)
    if not fields_fit(signed, TICKET_FILE):
        raise Wrong("is not a signed ticket")
    ticket = signed["ticket"].encode()
    if sha256(ticket).hex() != expected_hash:
        raise Wrong("the SHA-256 of its ticket is not its name")
    for party, key in keys.items():
        if not signature_holds(key, b"tacit ticket v2", ticket, bytes.fromhex(signed[party + "_signature"])):
            raise Wrong("is not signed by both parties")
    return canonical(ticket)


def check_tickets(folder, ledger, keys, warnings):
    """Every line of a round says what the ticket said that devices saw."""
    present, named = set(listing(folder, "tickets")), set()
    for line in ledger.charged + ledger.empty:
        name = f"{line['ticket_hash']}.json"
        if name not in present:
            raise Wrong(f"{Ledger.FILE} line {line['seq']}: its ticket is missing: tickets/{name}")
        try:
            ticket = read_ticket(read_small(folder, f"tickets/{name}"), line["ticket_hash"], keys)
        except Wrong as wrong:
            raise Wrong(f"tickets/{name}: {wrong}") from None
        empty = line["event"] == "empty"
        for field in FROM_TICKET_OF_EMPTY if empty else FROM_TICKET:
            if type(ticket) is not dict or ticket.get(field) != line[field]:
                raise Wrong(f"{Ledger.FILE} line {line['seq']}: {field} is not what its ticket says")
        if empty:
            check_ticket_price(line, ticket)
        before = sum(other["seq"] < line["seq"] for other in ledger.empty)
        if ticket.get("free_rounds") != before:
            raise Wrong(f"{Ledger.FILE} line {line['seq']}: its ticket's free_rounds is not {before}")
        named.add(name)
    warnings.extend(f"tickets/{name} is named by no line" for name in sorted(present - named))


def read_keys(folder, expected):
    try:
        keys = canonical(read_small(folder, "keys.json"))
        if not fields_fit(keys, {"coordinator": DIGEST, "helper": DIGEST}):
            raise Wrong("must hold the keys of coordinator and helper in hexadecimal")
    except Wrong as wrong:
        text = str(wrong)
        raise Wrong(text if text.startswith("keys.json") else f"keys.json: {text}") from None
    for party, key in expected.items():
        if key is not None and key != keys[party]:
            raise Wrong(f"keys.json: names another key of the {party} than expected")
    return {party: bytes.fromhex(keys[party]) for party in ("coordinator", "helper")}


def verify(folder, expected, warnings):
    """Checks everything, in the order of the Rust verifier, and returns the same numbers."""
    survey(folder)
    keys = read_keys(folder, expected)
    ledger = Ledger(folder)
    helper = Helper(folder, keys["helper"])
    helper.match(ledger.charged)
    check_empty(ledger, keys["helper"])
    heads = check_heads(folder, ledger, helper, keys, warnings)
    check_models(folder, ledger, warnings)
    check_sums(folder, ledger, warnings)
    check_tickets(folder, ledger, keys, warnings)
    helper.check_tickets(ledger.charged + ledger.empty, warnings)
    helper.check_restores(ledger.restores, ledger.charged + ledger.empty)
    if keys["coordinator"] == keys["helper"]:
        warnings.append("coordinator and helper sign with the same key: they are one party")
    releases = sum(line["event"] == "release" for line in ledger.charged)
    return {
        "schema": 1,
        "task": ledger.genesis["task"],
        "ledger_id": ledger.chain.ledger_id,
        "generation": ledger.chain.generation,
        "lines": len(ledger.leaves),
        "helper_lines": helper.chain.next,
        "heads": heads,
        "last_line_hash": ledger.chain.last_hash,
        "releases": releases,
        "abandoned": len(ledger.charged) - releases,
        "empty": len(ledger.empty),
        "restarts": ledger.restarts,
        "restores": len(ledger.restores),
        "participations_max": len(ledger.charged) + len(ledger.empty),
        "rho": str(ledger.rho),
        "rho_spent_max": str(min(ledger.rho + sum(int(line["ticket_rho"]) for line in ledger.empty), 1 << 96)),
        "rho_budget": ledger.genesis["rho_budget"],
        "total_variation": str(ledger.variation),
        "epsilon": {delta: epsilon(ledger.rho, ledger.variation, delta) for delta in sorted(DELTAS)},
        "conversion": CONVERSION,
    }


def main():
    parser = argparse.ArgumentParser(description="Verify an export of a Tacit release ledger.")
    parser.add_argument("export", help="folder with ledger.jsonl, helper.jsonl, heads/, tickets/, sums/, keys.json and models/")
    parser.add_argument("--coordinator-key", help="the coordinator's public key, from a source you trust")
    parser.add_argument("--helper-key", help="the helper's public key, from a source you trust")
    options = parser.parse_args()
    warnings = []
    try:
        numbers = verify(
            options.export, {"coordinator": options.coordinator_key, "helper": options.helper_key}, warnings
        )
    except Wrong as wrong:
        print(shown(wrong), file=sys.stderr)
        return 1
    for warning in warnings:
        print(f"warning: {shown(warning)}", file=sys.stderr)
    print(json.dumps(numbers, indent=2).replace("\x7f", "\\u007f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
