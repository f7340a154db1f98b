// The requests and answers of a bench: always the same ones, or no two alike.

export const host = "bench.example.com";
export const bodyBytes = 101;

export const sameRequest = Buffer.from(`GET /same/path?with=query HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: theme=dark\r\n\r\n`);
export const sameAnswer = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${bodyBytes}\r\n\r\n${"x".repeat(bodyBytes)}`);

/** Where in a request the token of one that is like no other begins, and how long it is. */
export const tokenAt = "GET /different/".length;
export const tokenLength = 8;
const differs = "GET /d".length - 1;
export const isDifferent = (head) => head[differs] === 100;

/** Eight digits that come once in four thousand million requests. */
export const tokenOf = (count, salt) => ((Math.imul(count, 0x9e3779b1) ^ salt) >>> 0).toString(16).padStart(tokenLength, "0");

const agents = ["Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0", "curl/8.9.1", "okhttp/4.12.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15", "Go-http-client/1.1", "python-requests/2.32.3", "Dalvik/2.1.0 (Linux; U; Android 14)", "bench"];
const languages = ["de", "en-GB,en;q=0.8", "fr-CH, fr;q=0.9, en;q=0.8", "ja"];

/** Target, cookies, values, number and order of headers differ from one to the next. */
export function differentRequest(token) {
  const bits = Number.parseInt(token, 16);
  const agent = `User-Agent: ${agents[bits & 7]}; ${token}\r\n`;
  const cookie = `Cookie: session=${token}${token}; seen=${bits}\r\n`;
  const tag = bits & 8 ? `If-None-Match: "${token}"\r\n` : `Accept-Language: ${languages[(bits >> 4) & 3]}\r\n`;
  const trace = bits & 64 ? `X-Correlation-Id: ${token}-${bits}\r\n` : "";
  const headers = bits & 128 ? `${agent}Accept: text/html\r\n${cookie}${trace}${tag}` : `${cookie}${tag}${agent}${trace}Accept: */*\r\n`;
  return `GET /different/${token}/items/${bits % 9973}?page=${bits & 31}&by=${token} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;
}

const filler = "x".repeat(bodyBytes + 32);

/** Its own ETag, cookie, date, length; the body ends with the token, so that a mix-up is seen. */
export function differentAnswer(token) {
  const bits = Number.parseInt(token, 16);
  const body = bodyBytes - 16 + (bits & 31);
  const tag = `ETag: "${token}-${bits & 0xffff}"\r\n`;
  const cookie = bits & 256 ? `Set-Cookie: last=${token}; Path=/; HttpOnly\r\n` : `X-Served: ${bits}\r\n`;
  const date = `Last-Modified: Mon, ${10 + (bits & 15)} Aug 2026 10:${10 + (bits % 50)}:${10 + ((bits >> 6) % 50)} GMT\r\n`;
  const headers = bits & 512 ? `${tag}Content-Type: text/plain\r\n${cookie}${date}` : `Content-Type: application/json\r\n${date}${tag}Cache-Control: max-age=${bits & 1023}\r\n${cookie}`;
  return `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body}\r\n\r\n${filler.slice(0, body - tokenLength)}${token}`;
}
