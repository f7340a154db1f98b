import type { FastifyRequest } from "fastify";
import type { ClientMethod } from "./claims.ts";
import type { Client, Clients } from "./clients.ts";
import { UaaServerError } from "./errors.ts";
import { formOf } from "./form.ts";

export interface AuthenticatedClient {
  client: Client;
  method: ClientMethod;
}

/**
 * Which client is speaking: by `Authorization: Basic`, else by `client_id` and `client_secret` in the form.
 * Clients disagree on whether the two halves of Basic are form-encoded; both readings are tried, unless
 * `X-CF-ENCODED-CREDENTIALS: true` says which it is.
 * @throws UaaServerError unauthorized when nothing was sent, invalid_client when it is wrong
 */
export async function authenticateClient(clients: Clients, request: FastifyRequest): Promise<AuthenticatedClient> {
  const form = formOf(request);
  const basic = readBasic(request.headers.authorization);
  const formId = form.get("client_id");
  if (basic === undefined && formId === undefined)
    throw new UaaServerError("unauthorized", "An Authentication object was not found in the SecurityContext");
  const pairs = basic === undefined ? [[formId ?? "", form.get("client_secret") ?? ""] as const] : readings(basic, request.headers["x-cf-encoded-credentials"] === "true");
  for (const [id, secret] of pairs) {
    if (id.includes("\0")) continue;
    const client = await clients.check(id, secret);
    if (client) return { client, method: clients.isOpen(client.id) ? "none" : "secret" };
  }
  throw new UaaServerError("invalid_client", "Bad credentials");
}

/** The text behind `Basic`; undefined for no or another kind of credentials. */
function readBasic(authorization: string | undefined): readonly [string, string] | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_=-]{1,4000})$/i.exec(authorization ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1)];
}

function readings(raw: readonly [string, string], encoded: boolean): (readonly [string, string])[] {
  const decoded = [formDecode(raw[0]), formDecode(raw[1])] as const;
  if (decoded[0] === undefined || decoded[1] === undefined) return encoded ? [] : [raw];
  const pair = [decoded[0], decoded[1]] as const;
  if (encoded) return [pair];
  return pair[0] === raw[0] && pair[1] === raw[1] ? [raw] : [raw, pair];
}

function formDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
