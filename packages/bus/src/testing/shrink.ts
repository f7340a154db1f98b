/**
 * The smallest set that still fails, as far as `budget` tries lead: whole kinds are left out first, then halves, quarters and so on
 * down to single ones (delta debugging, Zeller and Hildebrandt 2002).
 */
export async function shrink(all: readonly string[], fails: (kept: readonly string[]) => Promise<boolean>, budget: number): Promise<{ kept: readonly string[]; tries: number }> {
  let kept = all;
  let tries = 0;
  const attempt = async (candidate: readonly string[]): Promise<boolean> => {
    if (candidate.length === kept.length || tries >= budget) return false;
    tries++;
    if (!(await fails(candidate))) return false;
    kept = candidate;
    return true;
  };
  if (await attempt([])) return { kept, tries };
  const kindOf = (id: string): string => id.split(" ", 1)[0] as string;
  for (const kind of new Set(all.map(kindOf))) await attempt(kept.filter((id) => kindOf(id) !== kind));
  for (let size = Math.ceil(kept.length / 2); size >= 1 && kept.length > 1 && tries < budget;) {
    let less = false;
    for (let from = 0; from < kept.length && tries < budget;) {
      const without = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (await attempt(without)) less = true;
      else from += size;
    }
    if (size === 1 && !less) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return { kept, tries };
}
