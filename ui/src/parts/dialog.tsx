/** Dialogs. Owns: the sheet, its title and its way out. Refuses to know: what is asked. */
import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import { type ReactNode, useState } from "react";
import { useWords } from "../i18n/words-context.tsx";
import { Button, IconButton } from "./button.tsx";
import { TextField } from "./field.tsx";
import { Problem } from "./states.tsx";

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  wide?: boolean;
  children: ReactNode;
}

/** A sheet over the page; Esc and a click outside close it. */
export function Dialog(props: DialogProps) {
  const words = useWords();
  return (
    <Radix.Root open={props.open} onOpenChange={(open) => !open && props.onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-scrim" />
        <Radix.Content
          aria-describedby={undefined}
          className={`rise fixed inset-x-4 top-[8vh] z-50 mx-auto flex max-h-[84vh] flex-col rounded-large border border-line bg-card shadow-3 ${props.wide ? "max-w-2xl" : "max-w-md"}`}
        >
          <div className="flex items-start gap-4 px-6 pt-5 pb-3">
            <div className="grid flex-1 gap-1">
              <Radix.Title className="text-xl font-semibold">{props.title}</Radix.Title>
              {props.description ? <p className="text-s text-ink-2">{props.description}</p> : null}
            </div>
            <Radix.Close asChild>
              <IconButton label={words.act.close} small bare className="-mt-0.5 -mr-2">
                <X size={18} aria-hidden />
              </IconButton>
            </Radix.Close>
          </div>
          <div className="overflow-y-auto px-6 pb-6">{props.children}</div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  title: string;
  what: string;
  action: string;
  /** When given, the button works only after this text was typed. */
  typed?: { label: string; text: string };
  onConfirm: () => Promise<unknown>;
}

/** Asks before something that cannot be undone. */
export function ConfirmDialog(props: ConfirmProps) {
  const words = useWords();
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const ready = !props.typed || typed === props.typed.text;
  const close = () => {
    setTyped("");
    setFailure(undefined);
    props.onClose();
  };
  const confirm = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await props.onConfirm();
      close();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open={props.open} onClose={close} title={props.title}>
      <form
        className="grid gap-5"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !busy) void confirm();
        }}
      >
        <p className="text-m text-ink-2">{props.what}</p>
        {props.typed ? (
          <TextField
            label={props.typed.label}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        ) : null}
        {failure ? <Problem compact error={failure} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={close}>{words.act.cancel}</Button>
          <Button tone="danger" type="submit" disabled={!ready || busy}>
            {props.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
