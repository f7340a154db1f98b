import type { Authenticator, ConnectionOptions } from "nats";
import type { Addresses } from "./addresses.ts";
import { BusError } from "../errors.ts";
import type { NatsTransportOptions } from "./options.ts";
import { textOrFile } from "./text-or-file.ts";

type Nats = typeof import("nats");
type Given = Pick<NatsTransportOptions, "user" | "password" | "token" | "nkey" | "credentials">;

/** Who we are, in the client's words. @throws BusError `BUS_UNAUTHORIZED` for a seed or credentials that cannot be read */
export function credentialsFor(nats: Nats, given: Given, address: Addresses): Pick<ConnectionOptions, "user" | "pass" | "token" | "authenticator"> {
  const { user = address.user, password = address.password, token = address.token, nkey, credentials } = given;
  const authenticator: Authenticator[] = [];
  if (nkey !== undefined) {
    const seed = textOrFile(nkey, (text) => /^\s*SU[A-Z2-7]{56}\s*$/.test(text));
    authenticator.push(nats.nkeyAuthenticator(() => Buffer.from(seed().trim())));
  }
  if (credentials !== undefined) {
    const text = textOrFile(credentials, (value) => value.includes("-----BEGIN"));
    authenticator.push(nats.credsAuthenticator(() => Buffer.from(text().replaceAll("\r\n", "\n"))));
  }
  // A fault that shows only while connecting would end the connection for good.
  for (const each of authenticator)
    try {
      each("trial");
    } catch (cause) {
      throw new BusError("BUS_UNAUTHORIZED", `the ${nkey === undefined ? "credentials" : "nkey"} cannot be read: a text or the path of a file is needed`, { cause });
    }
  return {
    ...(user !== undefined && { user }),
    ...(password !== undefined && { pass: password }),
    ...(token !== undefined && { token }),
    ...(authenticator.length > 0 && { authenticator: authenticator.map(steadfast) }),
  };
}

/** The client closes for good when an authenticator throws; a file that is half written must not do that. */
function steadfast(authenticate: Authenticator): Authenticator {
  return (nonce) => {
    try {
      return authenticate(nonce);
    } catch {
      return {} as ReturnType<Authenticator>;
    }
  };
}
