// Validations per second. Run: npx vitest bench packages/uaa-client
import { generateKeyPairSync } from "node:crypto";
import { SignJWT, exportJWK } from "jose";
import { bench, describe } from "vitest";
import { createValidator } from "../src/validator.ts";

const issuer = "https://uaa.example.com/oauth/token";
const pairs = { RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }), ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }) };

for (const [alg, pair] of Object.entries(pairs)) {
  const key = { ...(await exportJWK(pair.publicKey)), kid: alg, alg };
  const token = await new SignJWT({
    jti: "j", iss: issuer, aud: ["cloud_controller"], client_id: "cf", sub: "u", user_id: "u", exp: Math.floor(Date.now() / 1000) + 86_400,
    scope: ["cloud_controller.read", "cloud_controller.write", "openid", "scim.me"],
  }).setProtectedHeader({ alg, kid: alg }).sign(pair.privateKey);
  const make = (cacheMaxEntries: number) => createValidator({ issuer, audience: "cloud_controller", keys: [key], cacheMaxEntries });
  const warm = make(10_000);
  const cold = make(0);
  await Promise.all([warm.validate(token), cold.validate(token)]);

  describe(alg, () => {
    bench("warm: a token seen before", async () => { await warm.validate(token); });
    bench("cold: signature checked, keys known", async () => { await cold.validate(token); });
    bench("cold, 32 at once", async () => { await Promise.all(Array.from({ length: 32 }, () => cold.validate(token))); });
    bench("coldest: keys imported too", async () => { await make(0).validate(token); });
  });
}
