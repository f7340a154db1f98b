/** Colours have a contrast of at least 4.5 to 1 on their ground, in both schemes; no state is told by colour alone. */
export const style = `
:root{--ground:#f6f7f9;--card:#fff;--ink:#1a2230;--soft:#5a6577;--line:#e2e6ec;--up:#0f6b3f;--up-g:#ddf3e6;--warn:#7a4b00;--warn-g:#fdeec8;--bad:#a3182c;--bad-g:#fde2e5;--off:#4d5666;--off-g:#e6e9ee;--link:#1857b8;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ground:#11151b;--card:#191f27;--ink:#e6eaf0;--soft:#9aa6b6;--line:#2a323d;--up:#7fe0ad;--up-g:#12392a;--warn:#f5cd78;--warn-g:#40320f;--bad:#ffa3ad;--bad-g:#481b23;--off:#b3bdca;--off-g:#2a323d;--link:#8cb8ff}}
*{box-sizing:border-box}
body{margin:0;padding:clamp(1rem,3vw,2.5rem);background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
header{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;align-items:center;margin-bottom:1.25rem}
h1{font-size:1.45rem;font-weight:650;letter-spacing:-.01em;margin:0}
.chips{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;margin:0;padding:0}
.chips li,.state{display:inline-block;border-radius:99px;padding:.1rem .65rem;font-size:.85rem;background:var(--off-g);color:var(--off)}
.state::before{content:"";display:inline-block;width:.5em;height:.5em;margin-right:.45em;border-radius:50%;background:currentColor}
.up .state,.chips .up{background:var(--up-g);color:var(--up)}
.unhealthy .state,.chips .unhealthy{background:var(--warn-g);color:var(--warn)}
.failing .state,.chips .failing{background:var(--bad-g);color:var(--bad)}
.gone .state::before{background:none;box-shadow:inset 0 0 0 1.5px currentColor}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}
.scroll:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;min-width:60rem}
th,td{text-align:left;vertical-align:top;padding:.65rem .9rem;border-top:1px solid var(--line);font-weight:400}
thead th{border-top:0;font-size:.8rem;color:var(--soft);white-space:nowrap}
tbody th{font-weight:600;white-space:nowrap}
.n{text-align:right;white-space:nowrap}
time{white-space:nowrap}
.index{color:var(--soft);font-weight:400}
small{font-size:.8rem;color:var(--soft);font-weight:400}
th small,.why{display:block}
.why{max-width:22rem;overflow-wrap:anywhere}
tr.gone th,tr.gone td{color:var(--soft)}
.empty{padding:2.5rem 1rem;text-align:center;color:var(--soft)}
footer{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 2rem;color:var(--soft);font-size:.85rem}
a{color:var(--link)}
#trouble{color:var(--bad);flex-basis:100%;margin:.75rem 0 0}#trouble:empty{display:none}
`;

/** Replaces the rows and the counts, never the page: scroll, focus and selection elsewhere stay. Rests while nobody looks. */
export const script = `
(() => {
  const seconds = Number(document.body.dataset.refresh);
  const byId = (id) => document.getElementById(id);
  const say = (text) => { if (byId("trouble").textContent !== text) byId("trouble").textContent = text; };
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error();
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["summary", "rows", "told"]) byId(id).innerHTML = fresh.getElementById(id).innerHTML;
      say("");
      document.title = fresh.title;
    } catch {
      say("The collector does not answer; this is what it said last.");
    }
  };
  setInterval(look, seconds * 1000);
  document.addEventListener("visibilitychange", look);
})();
`;
