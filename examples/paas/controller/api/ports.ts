import type { IncomingHttpHeaders } from "node:http";

/** What the controller needs from a logger; a pino-like instance fits. Secrets never reach it. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

/** Time, as a value: tests hand in their own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  after(ms: number, run: () => void): Disposable;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Whoever a token speaks for; the principal of `@opencf/uaa-client` fits. */
export interface TokenHolder {
  readonly clientId: string;
  readonly userId: string | undefined;
  readonly userName: string | undefined;
  readonly email: string | undefined;
  readonly origin: string | undefined;
  hasScope(scope: string): boolean;
}

/** Checks an access token; the validator of `@opencf/uaa-client` fits. Whatever it throws is an invalid token, unless `retryable` is set. */
export interface TokenValidator {
  validate(token: string): Promise<TokenHolder>;
}

/** A user as the identity provider knows it. */
export interface Identity {
  readonly guid: string;
  readonly username: string;
  readonly origin: string;
}

/** Names and ids of users, asked from the UAA. Unknown ones are simply absent from the answer; it throws when the UAA cannot be asked. */
export interface Identities {
  findByIds(guids: readonly string[]): Promise<Identity[]>;
  findByNames(names: readonly string[], options?: { origins?: readonly string[] | undefined }): Promise<Identity[]>;
  /** Makes a shadow user of another identity provider; absent where that is not possible. */
  create?(user: { username: string; origin: string }): Promise<Identity>;
}

/** The platform's public addresses, in the form in which the client came. */
export interface Urls {
  readonly api: string;
  readonly uaa: string;
  readonly login: string;
  readonly logCache: string;
}

export type UrlsOf = (headers: IncomingHttpHeaders) => Urls;
