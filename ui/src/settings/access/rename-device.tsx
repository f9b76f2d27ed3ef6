/** Gives a device a name. Owns: that form. Refuses to know: the list. */
import { useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import type { Device } from "../../http/identity.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { Problem } from "../../parts/states.tsx";
import { deviceName } from "./device-lines.tsx";

function NameForm(props: { device: Device; onClose: () => void; onDone: () => void }) {
  const words = useWords();
  const { connection } = useTenant();
  const [name, setName] = useState(() => deviceName(props.device).slice(0, 64));
  const [failure, setFailure] = useState<Error>();
  const save = async () => {
    setFailure(undefined);
    try {
      const { deviceId } = props.device;
      await connection.call("device.pair.rename", { deviceId, label: name.trim() });
      props.onDone();
      props.onClose();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    }
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) void save();
      }}
    >
      <TextField
        label={words.access.renameTitle}
        value={name}
        maxLength={64}
        onChange={(event) => setName(event.target.value)}
      />
      {failure ? <Problem compact error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={props.onClose}>{words.act.cancel}</Button>
        <Button tone="primary" type="submit" disabled={!name.trim()}>
          {words.act.save}
        </Button>
      </div>
    </form>
  );
}

/** The dialog for the name of a device. */
export function RenameDevice(props: { device: Device | undefined; onClose: () => void; onDone: () => void }) {
  const words = useWords();
  return (
    <Dialog open={props.device !== undefined} onClose={props.onClose} title={words.access.rename}>
      {props.device ? <NameForm device={props.device} onClose={props.onClose} onDone={props.onDone} /> : null}
    </Dialog>
  );
}
