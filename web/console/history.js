/** What happened of late, computed from the counters of `/v1/admin/figures` that are fetched again and again. Pure. */

/**
 * @typedef {Record<string, { labels: Record<string, string>, value: number | null }[]>} Figures
 * @typedef {{ at: number, sessions: number | null, logins: number | null, failed: number | null,
 *   messages: number | null, deliveries: number | null, refusals: number | null, store: number | null,
 *   store99: number | null, delivery: number | null, delivery99: number | null, kinds: Record<string, number> }} Sample
 *   rates a second; means and 99th percentiles of latencies, in seconds; how much was refused, by kind; null where it
 *   is not known
 */

/** Seconds between two samples, and how many are kept: ten minutes. */
export const SECONDS = 5;
export const KEPT = 120;

/** The metrics that this is computed from, by the beginnings of their names. */
export const METRICS = [
  ...['cim_build_info', 'cim_clock_skew', 'cim_delivery_seconds', 'cim_http_requests', 'cim_logins', 'cim_messages'],
  ...['cim_refused', 'cim_store_seconds'],
];

/**
 * The sum of a metric over all labels, or over those that a test takes; 0 where there is none.
 * @param {Figures} figures
 * @param {string} name
 * @param {(labels: Record<string, string>) => boolean} [wanted]
 */
export function total(figures, name, wanted = () => true) {
  let sum = 0;
  for (const { labels, value } of figures[name] ?? []) if (wanted(labels)) sum += value ?? 0;
  return sum;
}

/**
 * What was refused, by kind, most first.
 * @param {Figures} figures
 * @returns {[string, number][]}
 */
export function refusals(figures) {
  const found = (figures['cim_refused_total'] ?? []).map(
    ({ labels, value }) => /** @type {[string, number]} */ ([labels.kind, value ?? 0]),
  );
  return found.sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

/**
 * How many of a histogram were within each bound between two moments, over all labels: [bound, how many].
 * @param {string} histogram
 * @param {Figures} before
 * @param {Figures} now
 * @returns {[number, number][]}
 */
function within(histogram, before, now) {
  /** @type {Map<number, number>} */
  const calls = new Map();
  for (const [figures, sign] of /** @type {[Figures, number][]} */ ([
    [now, 1],
    [before, -1],
  ])) {
    for (const { labels, value } of figures[`${histogram}_bucket`] ?? []) {
      const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
      calls.set(bound, (calls.get(bound) ?? 0) + sign * (value ?? 0));
    }
  }
  return [...calls].sort((one, other) => one[0] - other[0]);
}

/**
 * The bound within which a part of a histogram was between two moments; null if there was nothing. Beyond the last
 * bound, that one.
 * @param {string} histogram
 * @param {Figures} before
 * @param {Figures} now
 * @param {number} part such as 0.99
 */
export function quantile(histogram, before, now, part) {
  const buckets = within(histogram, before, now);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const finite = buckets.filter(([bound]) => Number.isFinite(bound));
  return (finite.find(([, calls]) => calls >= part * all) ?? finite.at(-1))?.[0] ?? null;
}

/**
 * What happened between two moments. Counters that went back belong to a process that has started anew.
 * @param {{ at: number, figures: Figures }} before
 * @param {{ at: number, figures: Figures }} now seconds, on a clock that only goes forward
 * @param {number | null} sessions at all servers
 * @returns {Sample}
 */
export function between(before, now, sessions) {
  const seconds = now.at - before.at;
  const anew = total(now.figures, 'cim_http_requests_total') < total(before.figures, 'cim_http_requests_total');
  /**
   * @param {string} name
   * @param {(labels: Record<string, string>) => boolean} [wanted]
   */
  const rate = (name, wanted) => {
    if (anew || seconds <= 0) return null;
    return Math.max(0, total(now.figures, name, wanted) - total(before.figures, name, wanted)) / seconds;
  };
  /** @param {string} name */
  const grown = (name) => (anew ? 0 : total(now.figures, name) - total(before.figures, name));
  /** @param {string} histogram */
  const mean = (histogram) =>
    grown(`${histogram}_count`) > 0 ? grown(`${histogram}_sum`) / grown(`${histogram}_count`) : null;
  /** @param {string} histogram */
  const p99 = (histogram) => (anew ? null : quantile(histogram, before.figures, now.figures, 0.99));
  const earlier = new Map(anew ? [] : refusals(before.figures));
  const kinds = refusals(now.figures).map(
    ([kind, count]) => /** @type {[string, number]} */ ([kind, count - (earlier.get(kind) ?? 0)]),
  );
  return {
    at: now.at,
    sessions,
    logins: rate('cim_logins_total', ({ outcome }) => outcome === 'ok'),
    failed: rate('cim_logins_total', ({ outcome }) => outcome !== 'ok'),
    messages: rate('cim_messages_total', ({ direction }) => direction === 'in'),
    deliveries: rate('cim_messages_total', ({ direction }) => direction === 'out'),
    refusals: rate('cim_refused_total'),
    store: mean('cim_store_seconds'),
    store99: p99('cim_store_seconds'),
    delivery: mean('cim_delivery_seconds'),
    delivery99: p99('cim_delivery_seconds'),
    kinds: Object.fromEntries(kinds.filter(([, count]) => count > 0)),
  };
}

/**
 * How much of a kind was refused in all samples.
 * @param {Sample[]} samples
 * @param {string} kind
 */
export const lately = (samples, kind) => samples.reduce((sum, { kinds }) => sum + (kinds[kind] ?? 0), 0);

/**
 * The samples with another one, the oldest gone.
 * @param {Sample[]} samples
 * @param {Sample} sample
 */
export const kept = (samples, sample) => [...samples, sample].slice(-KEPT);
