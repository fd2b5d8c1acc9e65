/** A state as a sign and a word, so that colour is never alone. */

const SIGNS: Record<string, [string, string]> = {
  Ready: ["good", "✓"],
  Progressing: ["busy", "◐"],
  Degraded: ["bad", "!"],
  Refused: ["bad", "✕"],
  Paused: ["still", "‖"],
};

export function State({ state }: { state: string }) {
  const [kind, sign] = SIGNS[state] ?? ["still", "?"];
  return (
    <span class={`state ${kind}`}>
      <span class="sign" aria-hidden="true">
        {sign}
      </span>
      {state}
    </span>
  );
}
