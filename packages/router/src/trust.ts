import type { Backend } from "./endpoint.ts";

/** Whom to trust at the other end of a TLS connection instead of the system's authorities, and what to show there. */
export interface BackendTls {
  readonly ca?: string | readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** False takes any certificate. */
  readonly rejectUnauthorized?: boolean;
}

/** An address that is no app's and therefore has its own rules of trust. */
export type TrustingBackend = Backend & { readonly trust: BackendTls };

/** The rules of an address, where they are not the router's. */
export const trustOf = (backend: Backend): BackendTls | undefined => (backend as Partial<TrustingBackend>).trust;
