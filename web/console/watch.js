/** Fetches how the cluster is, and its figures, again and again while the page can be seen; views listen to it. */

import { call, withQuery } from './api.js';
import { METRICS, SECONDS, between, kept } from './history.js';

const FIGURES = withQuery('/v1/admin/figures', { names: METRICS.join(',') });

/**
 * @typedef {{ name: string, version: string | null, listed: boolean, linked: boolean, sessions: number }} ServerStatus
 * @typedef {{ route: string, version: string, ok: boolean, parts: Record<string, string>,
 *   facts: Record<string, unknown>, online: number, servers: ServerStatus[], routes: { name: string, version: string | null }[] }} Status
 * @typedef {{ status: Status | null, figures: import('./history.js').Figures | null,
 *   samples: import('./history.js').Sample[], failedSince: number | null }} Seen
 */

export class Watch {
  constructor() {
    /** @type {Seen} */
    this.seen = { status: null, figures: null, samples: [], failedSince: null };
    /** @type {Set<() => void>} */
    this._listeners = new Set();
    /** @type {{ at: number, figures: import('./history.js').Figures } | null} */
    this._before = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._ended = new AbortController();
    document.addEventListener('visibilitychange', () => this._look(), { signal: this._ended.signal });
    this._look();
  }

  /**
   * Have `run` called at once and after each look, until `left` is aborted.
   * @param {() => void} run
   * @param {AbortSignal} left
   */
  listen(run, left) {
    this._listeners.add(run);
    left.addEventListener('abort', () => this._listeners.delete(run));
    run();
  }

  /** Look no more. */
  end() {
    this._ended.abort();
    clearTimeout(this._timer);
  }

  async _look() {
    clearTimeout(this._timer);
    if (document.hidden || this._ended.signal.aborted) return;
    try {
      const [status, { figures }] = await Promise.all([call('GET', '/v1/admin/status'), call('GET', FIGURES)]);
      const now = { at: performance.now() / 1000, figures };
      this.seen.status = status;
      this.seen.figures = figures;
      this.seen.failedSince = null;
      if (this._before && now.at - this._before.at >= SECONDS / 2) {
        const sessions = /** @type {Status} */ (status).servers.reduce((sum, server) => sum + server.sessions, 0);
        this.seen.samples = kept(this.seen.samples, between(this._before, now, sessions));
      }
      if (!this._before || now.at - this._before.at >= SECONDS / 2) this._before = now;
    } catch {
      this.seen.failedSince ??= Date.now();
    }
    if (this._ended.signal.aborted) return;
    for (const run of this._listeners) run();
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._look(), SECONDS * 1000);
  }
}
