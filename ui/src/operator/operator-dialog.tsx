/** What is asked before an operator acts on an organization. Owns: the forms. Refuses to know: what the acts lead to. */
import { type ReactNode, useState } from "react";
import { useStepUp } from "../account/step-up.tsx";
import {
  breakGlass,
  changeOperatedTenant,
  deleteTenant,
  endBreakGlass,
  type OperatedTenantDetail,
  suspendTenant,
} from "../http/operator.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";

/** An act that needs words first. */
export type OperatorAct = "change" | "suspend" | "delete" | "look" | "end_look";

const MINUTES = [15, 30, 60, 240] as const;
const GRACE_DAYS = [0, 3, 7, 14, 30] as const;

interface FormProps {
  tenant: OperatedTenantDetail;
  onClose: () => void;
  onDone: () => void;
}

/** The frame of a form that acts: failure, way out, proof of who acts when it is asked for. */
export function ActForm(props: {
  action: string;
  danger?: boolean;
  ready: boolean;
  act: () => Promise<unknown>;
  /** After the act. */
  onClose: () => void;
  /** Instead of the act; as `onClose` unless said. */
  onCancel?: () => void;
  onDone: () => void;
  children: ReactNode;
}) {
  const words = useWords();
  const guard = useStepUp();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await guard(props.act);
      props.onDone();
      props.onClose();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (props.ready && !busy) void submit();
      }}
    >
      {props.children}
      {failure ? <Problem compact error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={props.onCancel ?? props.onClose}>{words.act.cancel}</Button>
        <Button tone={props.danger ? "danger" : "primary"} type="submit" disabled={!props.ready || busy}>
          {props.action}
        </Button>
      </div>
    </form>
  );
}

function ReasonField(props: { value: string; isLong?: boolean; onChange: (text: string) => void }) {
  const words = useWords();
  return (
    <TextField
      label={words.operator.reason}
      hint={props.isLong ? words.operator.reasonLong : words.operator.reasonHint}
      value={props.value}
      maxLength={500}
      onChange={(event) => props.onChange(event.target.value)}
    />
  );
}

function ChangeForm(props: FormProps) {
  const words = useWords();
  const { tenant } = props;
  const [name, setName] = useState(tenant.name);
  const [slug, setSlug] = useState(tenant.slug);
  const [plan, setPlan] = useState(tenant.plan);
  const [hosts, setHosts] = useState(tenant.hosts.join(" "));
  const [timeZone, setTimeZone] = useState(tenant.timeZone);
  const wanted = hosts.split(/[\s,]+/).filter((host) => host !== "");
  const change = {
    ...(name.trim() !== tenant.name ? { name: name.trim() } : {}),
    ...(slug.trim() !== tenant.slug ? { slug: slug.trim() } : {}),
    ...(plan.trim() !== tenant.plan ? { plan: plan.trim() } : {}),
    ...(wanted.join(" ") !== tenant.hosts.join(" ") ? { hosts: wanted } : {}),
    ...(timeZone.trim() !== tenant.timeZone ? { timeZone: timeZone.trim() } : {}),
  };
  return (
    <ActForm
      {...props}
      action={words.act.save}
      ready={Object.keys(change).length > 0 && name.trim() !== "" && slug.trim() !== ""}
      act={() => changeOperatedTenant(tenant.id, change)}
    >
      <TextField
        label={words.operator.name}
        value={name}
        maxLength={100}
        onChange={(e) => setName(e.target.value)}
      />
      <TextField
        label={words.operator.address}
        hint={words.operator.addressHint}
        value={slug}
        maxLength={40}
        className="font-mono"
        onChange={(e) => setSlug(e.target.value.toLowerCase())}
      />
      <TextField
        label={words.operator.hosts}
        hint={words.operator.hostsHint}
        value={hosts}
        className="font-mono"
        onChange={(e) => setHosts(e.target.value)}
      />
      <div className="grid grid-cols-2 gap-4">
        <TextField
          label={words.operator.plan}
          value={plan}
          maxLength={40}
          onChange={(e) => setPlan(e.target.value)}
        />
        <TextField
          label={words.operator.timeZone}
          value={timeZone}
          onChange={(e) => setTimeZone(e.target.value)}
        />
      </div>
    </ActForm>
  );
}

function SuspendForm(props: FormProps) {
  const words = useWords();
  const [reason, setReason] = useState("");
  const [graceDays, setGraceDays] = useState(7);
  return (
    <ActForm
      {...props}
      danger
      action={words.operator.suspend}
      ready={reason.trim() !== ""}
      act={() => suspendTenant(props.tenant.id, { reason: reason.trim(), graceDays })}
    >
      <p className="text-m text-ink-2">{words.operator.suspendWhat}</p>
      <ReasonField value={reason} onChange={setReason} />
      <SelectField
        label={words.operator.grace}
        value={graceDays}
        onChange={(event) => setGraceDays(Number(event.target.value))}
      >
        {GRACE_DAYS.map((days) => (
          <option key={days} value={days}>
            {days === 0 ? words.operator.noGrace : words.members.days(days)}
          </option>
        ))}
      </SelectField>
    </ActForm>
  );
}

function DeleteForm(props: FormProps) {
  const words = useWords();
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const { tenant } = props;
  return (
    <ActForm
      {...props}
      danger
      action={words.act.delete}
      ready={typed === tenant.slug && reason.trim() !== ""}
      act={() => deleteTenant(tenant.id, { confirmSlug: typed, reason: reason.trim() })}
    >
      <p className="text-m text-ink-2">{words.operator.deleteWhat}</p>
      <ReasonField value={reason} onChange={setReason} />
      <TextField
        label={words.operator.typeSlug(tenant.slug)}
        value={typed}
        className="font-mono"
        onChange={(event) => setTyped(event.target.value)}
      />
    </ActForm>
  );
}

function LookForm(props: FormProps) {
  const words = useWords();
  const [reason, setReason] = useState("");
  const [minutes, setMinutes] = useState<number>(30);
  return (
    <ActForm
      {...props}
      action={words.operator.look}
      ready={reason.trim().length >= 10}
      act={() => breakGlass(props.tenant.id, { reason: reason.trim(), minutes })}
    >
      <p className="text-m text-ink-2">{words.operator.lookWhat}</p>
      <ReasonField isLong value={reason} onChange={setReason} />
      <SelectField
        label={words.operator.howLong}
        value={minutes}
        onChange={(event) => setMinutes(Number(event.target.value))}
      >
        {MINUTES.map((count) => (
          <option key={count} value={count}>
            {words.operator.minutes(count)}
          </option>
        ))}
      </SelectField>
    </ActForm>
  );
}

function EndLookForm(props: FormProps) {
  const words = useWords();
  return (
    <ActForm {...props} action={words.operator.endLook} ready act={() => endBreakGlass(props.tenant.id)}>
      <p className="text-m text-ink-2">{words.operator.endLookWhat}</p>
    </ActForm>
  );
}

const FORMS = {
  change: ChangeForm,
  suspend: SuspendForm,
  delete: DeleteForm,
  look: LookForm,
  end_look: EndLookForm,
} as const;

/** The dialog of an act. */
export function OperatorDialog(props: FormProps & { act: OperatorAct | undefined }) {
  const words = useWords();
  const { act, tenant } = props;
  const titles: Record<OperatorAct, string> = {
    change: words.operator.changeTitle(tenant.name),
    suspend: words.operator.suspendTitle(tenant.name),
    delete: words.operator.deleteTitle(tenant.name),
    look: words.operator.lookTitle(tenant.name),
    end_look: words.operator.endLook,
  };
  const Form = act === undefined ? undefined : FORMS[act];
  return (
    <Dialog open={act !== undefined} onClose={props.onClose} title={act === undefined ? "" : titles[act]}>
      {Form ? <Form tenant={tenant} onClose={props.onClose} onDone={props.onDone} /> : null}
    </Dialog>
  );
}
