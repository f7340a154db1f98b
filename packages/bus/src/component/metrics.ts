import { type Family, isLabelName, isMetricName, type Labels, prometheusContentType, renderFamilies, renderNumber, type Sample } from "./prometheus-text.ts";

/** Whatever can write itself in Prometheus text: our own metrics, or a `Registry` of prom-client. */
export interface MetricsSource {
  readonly contentType: string;
  metrics(): string | Promise<string>;
}

export interface MetricOptions {
  /** What is counted, and in which unit. */
  help: string;
  /** Names of the labels; every call gives a value for each. */
  labels?: readonly string[];
  /** Different sets of label values that are kept; values for more are not. Default 1 000. */
  maxSeries?: number;
}

export interface Counter { inc(labels?: Labels, by?: number): void }
export interface Gauge { set(value: number, labels?: Labels): void; inc(labels?: Labels, by?: number): void }
export interface Histogram { observe(value: number, labels?: Labels): void }

/** A few numbers of one's own, for the `/metrics` of a component. */
export interface Metrics extends MetricsSource {
  /** Grows only; the name should end in `_total`. */
  counter(name: string, options: MetricOptions): Counter;
  /** Goes up and down. With `read` it is asked for at each scrape. */
  gauge(name: string, options: MetricOptions & { read?: () => number }): Gauge;
  /** @param options `buckets`: upper bounds, ascending. Default 5 ms to 10 s, in seconds. */
  histogram(name: string, options: MetricOptions & { buckets?: readonly number[] }): Histogram;
  /** Values that were not kept because there were too many sets of labels. */
  readonly refused: number;
}

const defaultBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Counters, gauges and histograms. Wrong names, labels and values are mistakes of the program: they throw a TypeError where they are made.
 */
export function createMetrics(): Metrics {
  const families = new Map<string, () => Family>();
  let refused = 0;

  const declare = (name: string, type: Family["type"], { help, labels = [], maxSeries = 1_000 }: MetricOptions) => {
    if (!isMetricName(name)) throw new TypeError(`${name} is no name of a metric: letters, digits, _ and : are`);
    for (const label of labels) if (!isLabelName(label) || (type === "histogram" && label === "le")) throw new TypeError(`${name}: ${label} is no name for a label here`);
    if (families.has(name)) throw new TypeError(`${name} is declared twice`);
    return {
      family: (samples: readonly Sample[]): Family => ({ name, help, type, samples }),
      series: createSeries(name, labels, { maxSeries, refuse: () => void refused++ }),
    };
  };

  return {
    contentType: prometheusContentType,
    get refused() {
      return refused;
    },
    metrics: () => renderFamilies([...families.values()].map((read) => read())),
    counter(name, options) {
      const { family, series } = declare(name, "counter", options);
      const values = series(() => ({ value: 0 }));
      families.set(name, () => family(values.all().map(({ labels, state }) => ({ labels, value: state.value }))));
      if ((options.labels ?? []).length === 0) values.of({});
      return {
        inc(labels = {}, by = 1) {
          if (!(by >= 0)) throw new TypeError(`${name} can only grow, not by ${by}`);
          const state = values.of(labels);
          if (state) state.value += by;
        },
      };
    },
    gauge(name, options) {
      const { family, series } = declare(name, "gauge", options);
      const values = series(() => ({ value: 0 }));
      const { read } = options;
      families.set(name, () => family(read ? [{ labels: {}, value: read() }] : values.all().map(({ labels, state }) => ({ labels, value: state.value }))));
      return {
        set(value, labels = {}) {
          const state = values.of(labels);
          if (state) state.value = value;
        },
        inc(labels = {}, by = 1) {
          const state = values.of(labels);
          if (state) state.value += by;
        },
      };
    },
    histogram(name, options) {
      const { family, series } = declare(name, "histogram", options);
      const bounds = (options.buckets ?? defaultBuckets).filter((bound) => bound !== Infinity);
      if (bounds.some((bound, i) => Number.isNaN(bound) || (i > 0 && bound <= (bounds[i - 1] as number)))) throw new TypeError(`${name}: buckets must ascend`);
      const values = series(() => ({ counts: bounds.map(() => 0), count: 0, sum: 0 }));
      families.set(name, () => family(values.all().flatMap(({ labels, state }) => {
        let below = 0;
        return [
          ...bounds.map((bound, i) => ({ suffix: "_bucket", labels: { ...labels, le: renderNumber(bound) }, value: (below += state.counts[i] as number) })),
          { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: state.count },
          { suffix: "_sum", labels, value: state.sum },
          { suffix: "_count", labels, value: state.count },
        ];
      })));
      return {
        observe(value, labels = {}) {
          const state = values.of(labels);
          if (!state) return;
          state.count++;
          state.sum += value;
          const at = bounds.findIndex((bound) => value <= bound);
          if (at >= 0) (state.counts[at] as number)++;
        },
      };
    },
  };
}

/** One state per set of label values, up to a bound. */
function createSeries(name: string, names: readonly string[], { maxSeries, refuse }: { maxSeries: number; refuse: () => void }) {
  return <S>(start: () => S) => {
    const known = new Map<string, { labels: Labels; state: S }>();
    return {
      all: () => [...known.values()],
      of(labels: Labels): S | undefined {
        const given = Object.keys(labels);
        if (given.length !== names.length || given.some((label) => !names.includes(label))) throw new TypeError(`${name} takes the labels ${names.join(", ") || "(none)"}, not ${given.join(", ") || "(none)"}`);
        const key = names.map((label) => String(labels[label])).join("\0");
        let found = known.get(key);
        if (!found && known.size >= maxSeries) return void refuse();
        if (!found) known.set(key, (found = { labels: Object.fromEntries(names.map((label) => [label, String(labels[label])])), state: start() }));
        return found.state;
      },
    };
  };
}
