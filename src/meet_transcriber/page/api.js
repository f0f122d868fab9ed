/* The HTTP client; no other module makes requests to the API. */

const ATTEMPTS = 3;

/** A response other than success (RFC 9457); `message` is shown to users. */
export class Problem extends Error {
  /**
   * @param {number} status 0 without a response.
   * @param {Object<string, any>} body Its JSON, {} if it has none.
   * @param {Headers} [headers]
   */
  constructor(status, body, headers) {
    super(body.detail || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.errors = body.errors ?? [];
    this.body = body;
    this.headers = headers ?? new Headers();
  }

  /** There was no response: the network or the server is down. */
  get offline() { return this.status === 0; }
}

const OFFLINE = { code: "offline", detail: "The server cannot be reached. Try again later." };

/**
 * @typedef {Object} Session
 * @property {string} key_id
 * @property {string} name
 * @property {string[]} scopes
 * @property {string} csrf_token
 * @property {string|null} expires_at null if the service needs no key.
 */

/** Fires `signedout` (the server asks for a key), `signedin`, `offline` and `online`. */
export class Api extends EventTarget {
  /** @type {Session|null} */
  session = null;
  #online = true;

  /** Whether the last request got a response. */
  get online() { return this.#online; }

  /** @param {string} path @param {{signal?: AbortSignal}} [options] @returns {Promise<any>} */
  get(path, options) { return this.call("GET", path, options).then(json); }

  /** @param {string} path @param {any} [body] @param {CallOptions} [options] */
  post(path, body, options) { return this.call("POST", path, { json: body, ...options }).then(json); }

  /** @param {string} path @param {any} body @param {CallOptions} [options] */
  patch(path, body, options) { return this.call("PATCH", path, { json: body, ...options }).then(json); }

  /** @param {string} path @param {CallOptions} [options] */
  delete(path, options) { return this.call("DELETE", path, options).then(json); }

  /**
   * @typedef {Object} CallOptions
   * @property {any} [json] Body, sent as JSON.
   * @property {BodyInit} [body] Body, sent unchanged.
   * @property {Object<string, string>} [headers]
   * @property {AbortSignal} [signal]
   */

  /**
   * Send a request; safe methods are retried when there is no response or the server is busy.
   * @param {string} method
   * @param {string} path
   * @param {CallOptions} [options]
   * @returns {Promise<Response>}
   * @throws {Problem}
   */
  async call(method, path, options = {}) {
    const safe = method === "GET" || method === "HEAD";
    for (let attempt = 1; ; attempt += 1) {
      let response;
      try {
        response = await fetch(path, this.#request(method, options));
      } catch (error) {
        if (options.signal?.aborted) throw error;
        this.reached(false);
        if (!safe || attempt >= ATTEMPTS) throw new Problem(0, OFFLINE);
        await pause(400 * 2 ** attempt);
        continue;
      }
      this.reached(true);
      if (response.ok || response.status === 304) return response;
      const problem = new Problem(response.status, await bodyOf(response), response.headers);
      if (problem.status === 401 && path !== "/session") this.dispatchEvent(new Event("signedout"));
      const busy = problem.status === 503 || problem.status === 429;
      if (!safe || !busy || attempt >= ATTEMPTS || path.startsWith("/health")) throw problem;
      await pause(1000 * Math.min(Number(problem.headers.get("Retry-After")) || attempt, 10));
    }
  }

  /** Headers that requests with unsafe methods need. */
  get #csrfHeaders() {
    return this.session?.csrf_token ? { "X-CSRF-Token": this.session.csrf_token } : {};
  }

  #request(method, { json: value, body, headers, signal }) {
    const all = method === "GET" || method === "HEAD" ? { ...headers } : { ...this.#csrfHeaders, ...headers };
    if (value !== undefined) all["Content-Type"] = "application/json";
    return { method, headers: all, signal, cache: "no-cache", body: value === undefined ? body : JSON.stringify(value) };
  }

  /**
   * Upload bytes with progress, which fetch does not report.
   * @param {string} method
   * @param {string} path
   * @param {Blob} body
   * @param {{headers: Object<string, string>, signal: AbortSignal, progress: (bytes: number) => void}} options
   * @returns {Promise<XMLHttpRequest>}
   * @throws {Problem}
   */
  send(method, path, body, { headers, signal, progress }) {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open(method, path);
      for (const [name, value] of Object.entries({ ...this.#csrfHeaders, ...headers })) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => progress(event.loaded);
      request.onload = () => {
        this.reached(true);
        if (request.status < 400) return done(request);
        if (request.status === 401) this.dispatchEvent(new Event("signedout"));
        return failed(new Problem(request.status, parsed(request.responseText), headersOf(request)));
      };
      request.onerror = () => { this.reached(false); failed(new Problem(0, OFFLINE)); };
      request.onabort = () => failed(signal.reason);
      signal.addEventListener("abort", () => request.abort(), { once: true });
      if (signal.aborted) failed(signal.reason);
      else request.send(body);
    });
  }

  /** @param {boolean} answered Record whether the server was reached. */
  reached(answered) {
    if (answered === this.#online) return;
    this.#online = answered;
    this.dispatchEvent(new Event(answered ? "online" : "offline"));
  }

  /** Load the session. @returns {Promise<Session|null>} null if a key is needed. */
  async whoami() {
    try {
      this.session = await this.get("/session");
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      this.session = null;
    }
    return this.session;
  }

  async #stillSignedIn() {
    try {
      await this.get("/session");
    } catch (problem) {
      if (problem.status !== 401) return true;
      this.dispatchEvent(new Event("signedout"));
      return false;
    }
    return true;
  }

  /** @param {string} key @returns {Promise<Session>} */
  async signIn(key) {
    this.session = await this.post("/session", { key });
    this.dispatchEvent(new Event("signedin"));
    return this.session;
  }

  /** End the session on the server and here. */
  async signOut() {
    await this.delete("/session");
    this.session = null;
    this.dispatchEvent(new Event("signedout"));
  }

  /**
   * Listen to server-sent events until the returned function is called. A hidden tab closes its
   * stream, because a browser opens at most six connections to a host over HTTP/1.1.
   * @param {string} path
   * @param {Object<string, (data: any) => void>} handlers By event name.
   * @returns {() => void}
   */
  events(path, handlers) {
    /** @type {EventSource|null} */
    let source = null;
    let retry = 0;
    const open = () => {
      clearTimeout(retry);
      if (document.hidden || source) return;
      source = new EventSource(path);
      source.onopen = () => this.reached(true);
      source.onerror = () => {
        if (source?.readyState === EventSource.CLOSED) { // refused or ended: check the session
          close();
          retry = setTimeout(() => this.#stillSignedIn().then((is) => is && open()), 2000);
        } else this.reached(false);
      };
      for (const [name, handle] of Object.entries(handlers)) {
        source.addEventListener(name, (event) => {
          if (event.data !== undefined) handle(JSON.parse(event.data)); // a lost connection also fires "error", without data
        });
      }
    };
    const close = () => { source?.close(); source = null; };
    const update = () => (document.hidden ? close() : open());
    document.addEventListener("visibilitychange", update);
    open();
    return () => {
      document.removeEventListener("visibilitychange", update);
      clearTimeout(retry);
      close();
    };
  }
}

async function json(response) {
  const text = response.status === 204 || response.status === 304 ? "" : await response.text();
  return text ? JSON.parse(text) : null;
}

async function bodyOf(response) {
  return parsed(await response.text().catch(() => ""));
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function headersOf(request) {
  const lines = request.getAllResponseHeaders().trim().split("\r\n").filter(Boolean);
  return new Headers(lines.map((line) => /** @type {[string, string]} */ (line.split(/: ?(.*)/s).slice(0, 2))));
}

/** @param {number} milliseconds */
export function pause(milliseconds) {
  return new Promise((done) => { setTimeout(done, milliseconds); });
}
