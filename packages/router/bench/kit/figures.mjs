// The few sums a bench needs.

export const round = (value, digits = 2) => (value === undefined || Number.isNaN(value) ? undefined : Number(value.toFixed(digits)));

export const sorted = (values) => Float64Array.from(values).sort();

/** Of numbers in order: the one below which `share` of them are. */
export const quantile = (ordered, share) => ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))];

export const median = (values) => {
  const known = sorted(values.filter((value) => value !== undefined));
  if (known.length === 0) return undefined;
  const middle = known.length >> 1;
  return known.length % 2 === 1 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
};
