// The interval of a difference, as `wsolbench compare` computes it: bias-corrected, from the same resamples.

const TAILS = [0.025, 0.975];

function density(x) {
  return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
}

function cumulative(x) {
  if (Math.abs(x) > 9) return x > 0 ? 1 : 0;
  let term = x;
  let sum = x;
  for (let n = 3; sum + term !== sum; n += 2) sum += term *= (x * x) / n;
  return 0.5 + sum * density(x);
}

function quantileOfNormal(share) {
  let x = 0; // From here, Newton's steps come closer from one side.
  for (let step = 0; step < 60; step += 1) {
    const change = (cumulative(x) - share) / density(x);
    x -= change;
    if (Math.abs(change) < 1e-14 * Math.max(1, Math.abs(x))) break;
  }
  return x;
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

function biasCorrected(estimate, resampled) {
  let below = 0;
  for (const value of resampled) {
    const gap = Math.round((value - estimate) * 1e9); // Rounding must not decide what is a tie.
    below += gap < 0 ? 1 : gap === 0 ? 0.5 : 0;
  }
  const count = resampled.length;
  const share = Math.min(Math.max(below / count, 0.5 / count), 1 - 0.5 / count);
  const shift = 2 * quantileOfNormal(share);
  const sorted = Float64Array.from(resampled).sort();
  return TAILS.map((tail) => quantile(sorted, cumulative(shift + quantileOfNormal(tail))));
}
