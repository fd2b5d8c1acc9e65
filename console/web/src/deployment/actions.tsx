/** The buttons, and the dialog that shows command and patch before anything is sent. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type Order, applyAction, previewAction } from "../api";
import type { Action, ArmTraffic, Preview } from "../contract";

interface ActionsProps {
  namespace: string;
  name: string;
  actions: Action[];
  arms: ArmTraffic[];
}

/** One opening of the dialog: a button pressed twice opens it twice. */
interface Opening {
  turn: number;
  action: Action;
}

/** The action that acts on the whole LLMDeployment: the others act on one arm. */
const UNDO = "undo";

export function Actions({ namespace, name, actions, arms }: ActionsProps) {
  const [opening, setOpening] = useState<Opening | null>(null);
  const turns = useRef(0);
  const [said, setSaid] = useState("");
  const choose = (action: Action): void => {
    if (action.possible) {
      setSaid("");
      turns.current += 1;
      setOpening({ turn: turns.current, action });
    } else {
      setSaid(`${action.label} is not possible: ${action.why ?? "the server gives no reason."}`);
    }
  };
  return (
    <div class="actions">
      <div class="buttons" role="group" aria-label="Actions">
        {actions.map((each) => (
          <button
            key={each.name}
            type="button"
            aria-disabled={!each.possible}
            title={each.possible ? undefined : (each.why ?? undefined)}
            onClick={() => choose(each)}
          >
            {each.label}
          </button>
        ))}
      </div>
      <p class="said" role="status">
        {said}
      </p>
      {opening !== null && (
        <ActionDialog
          key={opening.turn}
          namespace={namespace}
          name={name}
          action={opening.action}
          arms={opening.action.name === UNDO || arms.length < 2 ? [] : arms}
          onEnd={(message) => {
            // The browser tells of a closed dialog a moment after it gave the focus back.
            // A button pressed in this moment has opened the next dialog: that one stays.
            if (opening.turn !== turns.current) return;
            setOpening(null);
            setSaid(message);
          }}
        />
      )}
    </div>
  );
}

interface DialogProps {
  namespace: string;
  name: string;
  action: Action;
  /** The arms to choose from, if there are several. */
  arms: ArmTraffic[];
  onEnd: (message: string) => void;
}

function ActionDialog({ namespace, name, action, arms, onEnd }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const [arm, setArm] = useState(() => (arms.find((each) => each.canary !== null) ?? arms[0])?.name);
  const order: Order = arm === undefined ? { action: action.name } : { action: action.name, arm };
  // A modal dialog keeps the focus, and gives it back to the button when it closes.
  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    let current = true;
    const tell = <T,>(set: (value: T) => void) => (value: T) => {
      if (current) set(value);
    };
    setPreview(null);
    setFailure("");
    previewAction(namespace, name, order).then(
      tell(setPreview),
      tell((error: Error) => setFailure(error.message)),
    );
    return () => {
      current = false;
    };
  }, [namespace, name, order.action, order.arm]);
  const send = async (): Promise<void> => {
    setSending(true);
    try {
      await applyAction(namespace, name, order);
      dialog.current?.close(`${action.label}: sent.`);
    } catch (error) {
      setFailure((error as Error).message);
      setSending(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={() => onEnd(dialog.current?.returnValue ?? "")}>
      <h2 id="dialog-title">
        {action.label}: {namespace}/{name}
      </h2>
      {arms.length > 0 && (
        <span class="field">
          <label for="arm">Arm</label>
          <select id="arm" value={arm} onChange={(event) => setArm(event.currentTarget.value)}>
            {arms.map((each) => (
              <option key={each.name} value={each.name}>
                {each.name}
              </option>
            ))}
          </select>
        </span>
      )}
      {preview === null && failure === "" && <p>Asks the server what it would send …</p>}
      {preview !== null && (
        <>
          <p>The same as this command:</p>
          <pre tabIndex={0}>{preview.command}</pre>
          <p>It sends this patch:</p>
          <pre tabIndex={0}>{JSON.stringify(preview.patch, null, 2)}</pre>
        </>
      )}
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close("")}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={preview === null || sending} onClick={() => void send()}>
          {sending ? "Sends …" : "Send"}
        </button>
      </div>
    </dialog>
  );
}
