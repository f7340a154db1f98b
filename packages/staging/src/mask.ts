const redacted = "***";

/** Hides user names and passwords in every URL of a text: `https://u:p@h/x` becomes `https://***:***@h/x`. Signatures and tokens in query values go too. */
export const maskSecrets = (text: string): string =>
  text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)([^\s/@:"']+)(:[^\s/@"']*)?@/gi, (_, scheme: string, _user: string, password?: string) =>
      password === undefined ? `${scheme}${redacted}@` : `${scheme}${redacted}:${redacted}@`)
    .replace(/([?&](?:[a-z_-]*(?:token|signature|secret|password|sig|key|credential)[a-z_-]*)=)[^&\s"'#]+/gi, `$1${redacted}`)
    .replace(/(authorization:\s*\w+\s+)\S+/gi, `$1${redacted}`);

/** A URL without its credentials, and the `Authorization` value that stands for them. */
export function splitCredentials(url: URL): { url: URL; authorization: string | undefined } {
  const clean = new URL(url);
  clean.username = "";
  clean.password = "";
  if (url.username === "" && url.password === "") return { url: clean, authorization: undefined };
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { url: clean, authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}
