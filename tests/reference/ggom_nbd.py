"""GGom/NBD with 40 digits, by integration of the individual-level model (Bemmaor & Glady 2012): prints the rows of
src/models/btyd/nbd.rs. Needs mpmath."""
from mpmath import mp, mpf, quad, gamma, exp, log, nstr, inf, linspace

mp.dps = 40


def row(p, customer):
    r, alpha, b, s, beta = (mpf(repr(v)) for v in p)
    x, tx, t, h = (mpf(repr(v)) for v in customer)
    S = lambda u: (beta / (beta - 1 + exp(b * u))) ** s
    f = lambda u: b * s * exp(b * u) * beta**s * (beta - 1 + exp(b * u)) ** (-s - 1)
    cut = lambda lo, hi: [lo + (hi - lo) * (mpf(i) / 24) ** 3 for i in range(25)]
    lived = (alpha + t) ** -(r + x) * S(t)
    left = quad(lambda u: (alpha + u) ** -(r + x) * f(u), cut(tx, t)) if t > tx else mpf(0)
    ll = log(gamma(r + x) / gamma(r)) + r * log(alpha) + log(lived + left)
    alive = lived / (lived + left)
    ahead = lambda lo, g: quad(g, cut(lo, lo + h)) if h > 0 else mpf(0)
    orders = alive * (r + x) / (alpha + t) * ahead(t, S) / S(t)
    new = r / alpha * ahead(mpf(0), S)
    first = ahead(t, lambda u: (r + x) / (alpha + t) * ((alpha + u) / (alpha + t)) ** (-(r + x) - 1) * S(u)) / S(t)
    none = 1 - alive * first
    return [nstr(v, 18) for v in (ll, alive, orders, new, none)]


def rust(v):
    text = repr(float(v)) if not isinstance(v, str) else v
    return text


P = [[0.553, 10.578, 0.0002, 0.603, 0.0026], [0.8, 6.0, 0.05, 0.7, 0.4], [1.5, 20.0, 0.3, 2.0, 50.0], [0.3, 2.0, 1.5, 0.05, 0.01]]
C = [[0.0, 0.0, 38.86, 39.0], [2.0, 30.43, 38.86, 39.0], [1.0, 1.71, 38.86, 1e-3], [26.0, 30.86, 31.0, 520.0], [400.0, 5.0, 6.0, 10.0]]
print("const GGOM_VALUES: [([f64; 5], [f64; 4], [f64; 5]); %d] = [" % (len(P) * len(C)))
for p in P:
    for c in C:
        print("    (%s, %s, [%s])," % (p, c, ", ".join(row(p, c))))
print("];")
