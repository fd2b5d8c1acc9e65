/** Colours for plots: a canvas knows no style sheet, so they are read from its custom properties. */

export interface Colors {
  ink: string;
  muted: string;
  grid: string;
  stable: string;
  canary: string;
  band: string;
  bad: string;
  others: string[];
}

/** The colours of the page as they are now; they change with the browser's preference. */
export function readColors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ink: read("--ink"),
    muted: read("--muted"),
    grid: read("--line"),
    stable: read("--stable"),
    canary: read("--canary"),
    band: read("--band"),
    bad: read("--bad"),
    others: [read("--other-1"), read("--other-2"), read("--other-3")],
  };
}
