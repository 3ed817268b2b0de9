"""Penalised logistic regression on data from a linear congruential generator.

Run with mpmath 1.4.1 and scikit-learn 1.9.1; prints the numbers quoted in
src/models/logistic/tests.rs. Newton's method with 40 digits gives the values,
scikit-learn confirms them to its own tolerance.
"""

import mpmath as mp
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

mp.mp.dps = 40


class Lcg:
    """Knuth's MMIX generator, upper 53 bits as a number in [0, 1)."""

    def __init__(self, state):
        self.state = state

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2.0**53


def data(rows):
    lcg = Lcg(7)
    features, labels, weights = [], [], []
    for _ in range(rows):
        x = [4.0 * lcg.uniform() - 2.0 for _ in range(3)]
        z = 0.75 * x[0] - 1.25 * x[1] - 1.0
        labels.append(lcg.uniform() < 1.0 / (1.0 + np.exp(-z)))
        weights.append(0.5 + np.floor(4.0 * lcg.uniform()) * 0.25)
        features.append(x)
    return features, labels, weights


def newton(features, labels, weights, alpha):
    p = len(features[0])
    point = mp.zeros(p + 1, 1)
    for _ in range(30):
        gradient, hessian, value = mp.zeros(p + 1, 1), mp.zeros(p + 1, p + 1), mp.mpf(0)
        for x, y, v in zip(features, labels, weights):
            x = [mp.mpf(a) for a in x] + [mp.mpf(1)]
            z = mp.fsum(a * w for a, w in zip(x, point))
            q = 1 / (1 + mp.exp(-z))
            value += v * (mp.log1p(mp.exp(-z)) if y else mp.log1p(mp.exp(z)))
            for i in range(p + 1):
                gradient[i] += v * (q - int(y)) * x[i]
                for j in range(p + 1):
                    hessian[i, j] += v * q * (1 - q) * x[i] * x[j]
        loss = value
        for i in range(p):
            gradient[i] += alpha * point[i]
            hessian[i, i] += alpha
            value += mp.mpf(alpha) / 2 * point[i] ** 2
        if mp.norm(gradient) < mp.mpf(10) ** -30:
            return point, loss, value
        point -= mp.lu_solve(hessian, gradient)
    raise RuntimeError("not converged")


print("scikit-learn", sklearn.__version__, "mpmath", mp.__version__)
features, labels, weights = data(400)
print("positives", sum(labels), "sum of weights", sum(weights))
for name, v, alpha in [("plain", [1.0] * 400, 2.0), ("unpenalised", [1.0] * 400, 0.0), ("weighted", weights, 2.0)]:
    point, loss, value = newton(features, labels, v, alpha)
    print(name, "alpha", alpha)
    print("  coefficients and intercept", [mp.nstr(w, 17) for w in point])
    print("  ln likelihood", mp.nstr(-loss, 17), "objective", mp.nstr(value, 17))
    peer = LogisticRegression(C=1 / alpha if alpha else np.inf, tol=1e-12, solver="newton-cholesky")
    peer.fit(np.array(features), labels, sample_weight=v)
    print("  scikit-learn              ", [f"{w:.14g}" for w in [*peer.coef_[0], peer.intercept_[0]]])
