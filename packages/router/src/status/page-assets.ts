/** Text has a contrast of at least 4.5 to 1 on its ground, in both schemes; nothing is told by colour alone. */
export const style = `
:root{--ground:#f5f6f8;--card:#fff;--ink:#17202b;--soft:#566173;--line:#e1e5eb;--good:#0d6b3d;--good-g:#dcf3e5;--warn:#744700;--warn-g:#fcedc6;--bad:#a01729;--bad-g:#fde1e4;--link:#1553b0;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ground:#10141a;--card:#181e26;--ink:#e7ebf1;--soft:#9ba7b7;--line:#2a323c;--good:#82e0ae;--good-g:#123a2a;--warn:#f5ce7b;--warn-g:#403210;--bad:#ffa4ae;--bad-g:#491b23;--link:#8fbaff}}
*{box-sizing:border-box}
body{margin:0;padding:clamp(1rem,3vw,2.25rem);background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;margin-bottom:1rem}
h1{font-size:1.4rem;font-weight:650;margin:0}
.state{border-radius:99px;padding:.1rem .7rem;font-size:.85rem;background:var(--warn-g);color:var(--warn)}
.state.good{background:var(--good-g);color:var(--good)}
header small{color:var(--soft);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:0 0 1.25rem}
dl div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.6rem .85rem}
dt{font-size:.8rem;color:var(--soft)}
dd{margin:0;font-size:1.25rem;font-weight:600;white-space:nowrap}
form{display:flex;gap:.5rem;margin-bottom:.75rem}
input,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--soft);border-radius:8px;padding:.35rem .7rem}
input{flex:1;max-width:24rem;min-width:0}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}
.scroll:focus-visible,a:focus-visible,input:focus-visible,button:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;min-width:62rem}
th,td{text-align:left;vertical-align:top;padding:.55rem .8rem;border-top:1px solid var(--line);font-weight:400}
thead th{border-top:0;font-size:.8rem;color:var(--soft);white-space:nowrap;vertical-align:bottom}
tbody th{font-weight:600;overflow-wrap:anywhere;min-width:14rem}
.n{text-align:right;white-space:nowrap}
small{display:block;font-size:.8rem;color:var(--soft);font-weight:400}
header small{display:inline}
.warn,.bad{display:inline-block;border-radius:6px;padding:0 .4rem;font-size:.8rem;background:var(--warn-g);color:var(--warn)}
.bad{background:var(--bad-g);color:var(--bad)}
.empty{padding:2.25rem 1rem;text-align:center;color:var(--soft)}
footer{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 2rem;color:var(--soft);font-size:.85rem;margin-top:.75rem}
footer p{margin:.25rem 0}
a{color:var(--link)}
#trouble{color:var(--bad);flex-basis:100%}#trouble:empty{display:none}
`;

/** Exchanges what has changed and leaves the page where it is: scroll, focus and what is being typed stay. Rests while nobody looks. */
export const script = `
(() => {
  const seconds = Number(document.body.dataset.refresh);
  const byId = (id) => document.getElementById(id);
  const say = (text) => { if (byId("trouble").textContent !== text) byId("trouble").textContent = text; };
  let busy = false;
  const look = async () => {
    if (document.hidden || busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error();
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["head", "sums", "rows", "told"]) byId(id).replaceChildren(...fresh.getElementById(id).childNodes);
      document.title = fresh.title;
      say("");
    } catch {
      say("The router does not answer; this is what it said last.");
    }
    busy = false;
  };
  setInterval(look, seconds * 1000);
  document.addEventListener("visibilitychange", look);
})();
`;
