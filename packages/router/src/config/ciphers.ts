/**
 * A list of cipher suites in OpenSSL's words. The names of the RFCs are taken as well, in any mixture, with colons or commas between
 * (`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`); those of TLS 1.3 are the same in both.
 */
export const openSslCiphers = (list: string): string => list.split(/[:,\s]+/).filter((name) => name !== "").map(openSslName).join(":");

function openSslName(name: string): string {
  const match = /^TLS_(.+)_WITH_(.+)$/.exec(name);
  if (match === null) return name;
  const [, exchange, cipher] = match as unknown as [string, string, string];
  const short = cipher.replace(/^AES_(\d+)/, "AES$1").replace(/^CHACHA20_POLY1305_SHA256$/, "CHACHA20_POLY1305").replace(/_CBC_/, "_").replaceAll("_", "-");
  return exchange === "RSA" ? short : `${exchange.replaceAll("_", "-")}-${short}`;
}
