/** A setup code, shown once. Owns: making it, showing it, saying when it was used. Refuses to know: what the device may do. */
import { useEffect, useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import type { SetupCode } from "../../http/pairing.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { SecretBox } from "../../members/secret-box.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";

interface Used {
  setupId?: string;
  deviceName?: string;
}

/** Makes a code as soon as it is shown, and listens for the device that uses it. */
function CodeBody(props: { onClose: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const { connection } = useTenant();
  const [code, setCode] = useState<SetupCode>();
  const [used, setUsed] = useState<Used>();
  const [failure, setFailure] = useState<Error>();
  useEffect(() => {
    let isGone = false;
    connection.call<SetupCode>("device.pair.setupCode").then(
      (made) => !isGone && setCode(made),
      (error: unknown) => !isGone && setFailure(error instanceof Error ? error : new Error(String(error))),
    );
    return () => {
      isGone = true;
    };
  }, [connection]);
  useEffect(
    () =>
      connection.onEvent((event, payload) => {
        const done = payload as Used;
        if (event === "device.pair.setup.completed" && done.setupId === code?.setupId) setUsed(done);
      }),
    [connection, code],
  );
  if (failure) return <Problem compact error={failure} />;
  if (!code) return <Skeleton lines={3} label={words.link.connecting} />;
  return (
    <div className="grid gap-4">
      {used ? null : <SecretBox text={code.setupCode} />}
      <div className="grid gap-1 text-s text-ink-2">
        {used ? null : <p>{words.access.setupUntil(formats.clock(new Date(code.expiresAtMs)))}</p>}
        <p className="break-all">{words.access.setupAddress(code.gatewayUrl)}</p>
        {code.access === "limited" ? <p>{words.access.setupLimited}</p> : null}
      </div>
      <p role="status" className={`text-m font-medium ${used ? "text-good" : "text-ink-2"}`}>
        {used ? words.access.setupUsed(used.deviceName ?? words.access.aDevice) : words.access.setupWaiting}
      </p>
      <div className="flex justify-end">
        <Button tone="primary" onClick={props.onClose}>
          {words.act.close}
        </Button>
      </div>
    </div>
  );
}

/** The dialog of a setup code. */
export function SetupCodeDialog(props: { open: boolean; onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog
      open={props.open}
      onClose={props.onClose}
      title={words.access.setupTitle}
      description={words.access.setupHint}
    >
      {props.open ? <CodeBody onClose={props.onClose} /> : null}
    </Dialog>
  );
}
