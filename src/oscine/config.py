"""Settings from the environment; nothing else in Oscine reads `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from oscine.errors import InvalidRequest

RUNPOD_VOLUME = Path("/runpod-volume")


def _expand(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return Path(value).expanduser()
    except RuntimeError:  # `~name` of a user that this machine does not have
        raise ValueError("no such home folder") from None


def _names(value: object) -> object:
    return tuple(name for name in map(str.strip, value.split(",")) if name) if isinstance(value, str) else value


def _keys(value: object) -> object:
    """At least one key: a list of none, such as `,`, is a mistake that would leave the server open to everybody."""
    keys = _names(value)
    if isinstance(value, str) and not keys:
        raise ValueError("no key")
    return keys


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _bits(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _address(value: object) -> object:
    """The address of an object store, without user, query and fragment: they would be a secret or a mistake."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("no address")
    if parts.username is not None or parts.query or parts.fragment or any(sign.isspace() for sign in value):
        raise ValueError("more than an address")
    return value.rstrip("/")


def _inside(value: object) -> object:
    """A prefix of keys in an object store, without slashes around it; `.` and `..` would lead out of it."""
    if not isinstance(value, str):
        return value
    parts = value.strip("/").split("/")
    if parts != [""] and any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise ValueError("not inside")
    return "/".join(parts)


_FOLDER = "the path of a folder"
_SECONDS = "a number of seconds above 0"
_PORT = "a port from 0 to 65535"
Folder = Annotated[Path, BeforeValidator(_expand)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_keys)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Address = Annotated[str, BeforeValidator(_address)]
_ADDRESS = "an address such as https://s3.example.com"
WEEK_SECONDS = 604_800
"""The longest that a link lives (AWS Signature Version 4, `X-Amz-Expires`)."""


def debugging() -> bool:
    """Whether `OSCINE_DEBUG` asks for the traceback of an unexpected error."""
    return bool(os.environ.get("OSCINE_DEBUG", "").strip())


def set_default(name: str, value: str) -> None:
    """Set an environment variable that another package reads, unless the deployment has set it."""
    os.environ.setdefault(name, value)


def is_set(name: str) -> bool:
    """Whether an environment variable is there that another package, or the platform, sets or reads."""
    return name in os.environ


class Settings(BaseModel):
    """What a deployment decides, each by an environment variable (docs/settings.md); an empty one counts as unset.

    In Python they are arguments, by their names here: `Settings(volume=Path("speech"))`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    engine: Annotated[str, BeforeValidator(_lower)] = Field(default="hibari", validation_alias="OSCINE_ENGINE")
    """The engine that answers when a request names none, in small letters."""
    volume: Folder | None = Field(default=None, validation_alias="OSCINE_VOLUME", description=_FOLDER)
    """Where everything that must last lies; see `home`."""
    audio_voices_dir: Folder | None = Field(default=None, validation_alias="AUDIO_VOICES_DIR", description=_FOLDER)
    """Where reference voices are added and looked for; None: see `voice_home` and `voice_folders`."""
    audio_prompts_dir: Folder | None = Field(default=None, validation_alias="AUDIO_PROMPTS_DIR", description=_FOLDER)
    """Where reference voices are looked for as well; None: see `voice_folders`."""
    output_audio_dir: Folder | None = Field(default=None, validation_alias="OUTPUT_AUDIO_DIR", description=_FOLDER)
    """Where the worker's results lie before they are delivered; None: see `output_folder`."""
    single_result: bool = Field(default=False, validation_alias="OSCINE_SINGLE_RESULT", description="true or false")
    """Whether the worker answers with the bare document instead of a list that holds it, and never streams."""
    max_result_mb: float = Field(
        default=9.5, validation_alias="OSCINE_MAX_RESULT_MB", gt=0, le=20, description="a number of megabytes up to 20"
    )
    """Megabytes that the platform takes of a job's result; a larger one goes to the object store or stays on the
    volume."""
    worker_jobs: int | None = Field(
        default=None, validation_alias="OSCINE_WORKER_JOBS", ge=1, le=256, description="a number of jobs from 1 to 256"
    )
    """Jobs that a worker takes at once; None: as many as the engine has lanes."""
    cleanup_days: float = Field(
        default=2, validation_alias="CLEANUP_DAYS", ge=0, description="a number of days, 0 or more"
    )
    """Days after which finished pieces and temporary output that nobody used are removed."""
    spool_max_gb: float = Field(
        default=4, validation_alias="OSCINE_SPOOL_MAX_GB", gt=0, description="a number of gigabytes above 0"
    )
    """Gigabytes of disk that finished pieces may take before the oldest are removed."""
    max_text_length: int = Field(
        default=100_000, validation_alias="MAX_TEXT_LENGTH", ge=0, description="a number of characters, 0 for no limit"
    )
    """Characters of the longest text; 0: no limit."""
    default_sample_rate: int | None = Field(
        default=None,
        validation_alias="DEFAULT_SAMPLE_RATE",
        ge=8_000,
        le=48_000,
        description="a rate in Hz from 8000 to 48000",
    )
    """Sample rate of the result in Hz; None: the engine's."""
    max_chunk_chars: int | None = Field(
        default=None,
        validation_alias="MAX_CHUNK_CHARS",
        ge=50,
        le=1000,
        description="a number of characters from 50 to 1000",
    )
    """Characters of the longest piece, where the engine's own limit is not lower; None: the engine's."""
    min_last_chunk_chars: int | None = Field(
        default=None,
        validation_alias="MIN_LAST_CHUNK_CHARS",
        ge=0,
        le=1000,
        description="a number of characters from 0 to 1000",
    )
    """A last piece with fewer characters joins the one before it; None: the engine's."""
    chunk_silence_ms: int | None = Field(
        default=None,
        validation_alias="CHUNK_SILENCE_MS",
        ge=0,
        le=2000,
        description="a number of milliseconds from 0 to 2000",
    )
    """Pause between pieces in ms; None: by punctuation."""
    default_speaker: str | None = Field(default=None, validation_alias="DEFAULT_SPEAKER")
    """The voice that speaks when a request names none; None: the engine's."""
    default_cfg_scale: float | None = Field(
        default=None, validation_alias="DEFAULT_CFG_SCALE", gt=0, le=10, description="a number above 0, at most 10"
    )
    """Guidance where a request has no `cfg_scale`; None: the engine's."""

    model_path: str = Field(default="vibevoice/VibeVoice-7B-hf", validation_alias="MODEL_PATH")
    """VibeVoice's weights: a name on the Hugging Face Hub, or a folder."""
    device: str | None = Field(default=None, validation_alias="DEVICE")
    """Where models run, as PyTorch calls it; None: the best there is."""
    quantize: Annotated[Literal[4, 8] | None, BeforeValidator(_bits)] = Field(
        default=None, validation_alias="OSCINE_QUANTIZE", description="8 or 4"
    )
    """Bits of the weights of a language model; None: as they are."""
    vibevoice_lanes: int | None = Field(
        default=None, validation_alias="OSCINE_VIBEVOICE_LANES", ge=1, le=512, description="a number from 1 to 512"
    )
    """Utterances that VibeVoice speaks at once; None: as many as the memory holds."""
    vibevoice_sde: bool = Field(default=False, validation_alias="OSCINE_VIBEVOICE_SDE", description="true or false")
    """Whether VibeVoice's sampler adds noise at each step, as in the model's first demos."""
    vibevoice_compile: bool = Field(
        default=False, validation_alias="OSCINE_VIBEVOICE_COMPILE", description="true or false"
    )
    """Whether VibeVoice's frames are compiled: minutes at the start, and faster from then on."""
    vibevoice_token_guidance: bool = Field(
        default=False, validation_alias="OSCINE_VIBEVOICE_TOKEN_GUIDANCE", description="true or false"
    )
    """Whether guidance acts on the choice of VibeVoice's tokens too, as in transformers' `generate()`."""
    checkpoints_dir: Folder | None = Field(default=None, validation_alias="CHECKPOINTS_DIR", description=_FOLDER)
    """Where IndexTTS-2's files lie; see `indextts_checkpoints`."""
    model_repo: str = Field(default="IndexTeam/IndexTTS-2", validation_alias="MODEL_REPO")
    """Where IndexTTS-2's files come from: a name on the Hugging Face Hub."""
    indextts25_dir: Folder | None = Field(default=None, validation_alias="OSCINE_INDEXTTS25_DIR", description=_FOLDER)
    """Where IndexTTS-2.5's files lie; see `indextts25_checkpoints`."""
    indextts25_repo: str = Field(default="IndexTeam/IndexTTS-2.5", validation_alias="OSCINE_INDEXTTS25_REPO")
    """Where IndexTTS-2.5's files come from: a name on the Hugging Face Hub."""
    use_fp16: bool = Field(default=False, validation_alias="USE_FP16", description="true or false")
    """Whether IndexTTS computes with half precision where it can."""
    use_deepspeed: bool = Field(default=False, validation_alias="USE_DEEPSPEED", description="true or false")
    """Taken from deployments that set it; it speeds up nothing here, and IndexTTS says so in a warning."""
    use_cuda_kernel: bool = Field(default=False, validation_alias="USE_CUDA_KERNEL", description="true or false")
    """Whether IndexTTS's vocoder uses a kernel that is built on this machine."""
    max_tokens_per_segment: int = Field(
        default=120, validation_alias="MAX_TOKENS_PER_SEGMENT", ge=10, description="a number of tokens, 10 or more"
    )
    """Tokens of text that IndexTTS speaks in one go; the engine lowers what its model cannot hold, with a warning."""

    preload: Annotated[Literal["auto", "always", "never"], BeforeValidator(_lower)] = Field(
        default="auto", validation_alias="OSCINE_PRELOAD", description="auto, always or never"
    )
    """Whether the engine is loaded before requests come; auto: if nothing is missing."""
    max_requests: int = Field(
        default=256, validation_alias="OSCINE_MAX_REQUESTS", ge=1, description="a number of requests, 1 or more"
    )
    """Requests that may be spoken or wait at once; the next is told to come back later."""
    host: str = Field(default="127.0.0.1", validation_alias="OSCINE_HOST")
    """Address that the server listens on."""
    port: Port = Field(default=8000, validation_alias="PORT", description=_PORT)
    port_health: Port | None = Field(default=None, validation_alias="PORT_HEALTH", description=_PORT)
    """A second port of the server, for health checks; None: only the first."""
    api_keys: Secrets = Field(
        default=(), validation_alias="OSCINE_API_KEYS", description="keys, separated by commas; unset: no key is needed"
    )
    """Bearer keys of the server, separated by commas; none: open to all who reach it."""
    cors_origins: Names = Field(default=(), validation_alias="OSCINE_CORS_ORIGINS")
    """Origins whose pages may call the server, separated by commas; `*`: all."""
    allowed_hosts: Names = Field(
        default=(), validation_alias="OSCINE_ALLOWED_HOSTS", description="names, separated by commas"
    )
    """Names that a server without keys answers under, beside addresses and names without a dot.

    None: all names, but on 127.0.0.1 no public ones.
    """
    rate_limit: str | None = Field(default=None, validation_alias="OSCINE_RATE_LIMIT")
    """Speech requests per key, such as `60/minute`."""
    max_body_mb: float = Field(
        default=16, validation_alias="OSCINE_MAX_BODY_MB", gt=0, description="a number of megabytes above 0"
    )
    """Megabytes of the largest body of a request to the server."""
    body_seconds: float = Field(default=120, validation_alias="OSCINE_BODY_SECONDS", gt=0, description=_SECONDS)
    """Seconds that a request's body may take to arrive."""
    wait_seconds: float = Field(default=120, validation_alias="OSCINE_WAIT_SECONDS", gt=0, description=_SECONDS)
    """Seconds that a request waits for its first sound before it is refused."""
    stall_seconds: float = Field(default=300, validation_alias="OSCINE_STALL_SECONDS", gt=0, description=_SECONDS)
    """Seconds after which a client that takes nothing of its answer is disconnected."""
    drain_seconds: float = Field(default=30, validation_alias="OSCINE_DRAIN_SECONDS", gt=0, description=_SECONDS)
    """Seconds that a server which was asked to stop goes on with what is running."""
    log_text: bool = Field(default=False, validation_alias="OSCINE_LOG_TEXT", description="true or false")
    """Whether the server's log holds the text of requests."""

    s3_endpoint_url: Address | None = Field(default=None, validation_alias="S3_ENDPOINT_URL", description=_ADDRESS)
    """Where the object store is; with `s3_region` alone: AWS."""
    s3_access_key_id: str | None = Field(default=None, validation_alias="S3_ACCESS_KEY_ID")
    """The object store's key."""
    s3_secret_access_key: SecretStr | None = Field(default=None, validation_alias="S3_SECRET_ACCESS_KEY")
    """The secret that belongs to it."""
    s3_bucket_name: str | None = Field(default=None, validation_alias="S3_BUCKET_NAME")
    """The bucket; None: it is in the address."""
    s3_region: str | None = Field(default=None, validation_alias="S3_REGION")
    """The region that requests are signed for; None: what the address tells."""
    bucket_endpoint_url: Address | None = Field(
        default=None, validation_alias="BUCKET_ENDPOINT_URL", description=_ADDRESS
    )
    """RunPod's variable for `s3_endpoint_url`, which comes first; it may hold the bucket in its host or its path."""
    bucket_access_key_id: str | None = Field(default=None, validation_alias="BUCKET_ACCESS_KEY_ID")
    """RunPod's variable for `s3_access_key_id`, which comes first."""
    bucket_secret_access_key: SecretStr | None = Field(default=None, validation_alias="BUCKET_SECRET_ACCESS_KEY")
    """RunPod's variable for `s3_secret_access_key`, which comes first."""
    bucket_name: str | None = Field(default=None, validation_alias="BUCKET_NAME")
    """RunPod's variable for `s3_bucket_name`, which comes first."""
    store_url: str | None = Field(default=None, validation_alias="OSCINE_STORE_URL")
    """An object store of another kind, or a folder: `gs://`, `az://`, `file:///`."""
    s3_required: bool = Field(default=False, validation_alias="S3_REQUIRED", description="true or false")
    """Whether a result that could not be stored is an error."""
    s3_presign_seconds: int = Field(
        default=3600,
        validation_alias="S3_PRESIGN_SECONDS",
        ge=1,
        le=WEEK_SECONDS,
        description=f"a number of seconds from 1 to {WEEK_SECONDS}",
    )
    """Seconds that a link to a result can be used."""
    s3_prefix: Annotated[str, BeforeValidator(_inside)] = Field(
        default="", validation_alias="S3_PREFIX", description="a path without . and .. in it"
    )
    """What all keys in the object store begin with; nothing outside of it is read or written."""
    s3_timeout_seconds: float = Field(default=60, validation_alias="S3_TIMEOUT_SECONDS", gt=0, description=_SECONDS)
    """Seconds in which a request to the object store is tried again; one attempt may take half of them."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The settings of an environment. Raises InvalidRequest that names the variable and what it takes."""
        wanted = {field.validation_alias for field in cls.model_fields.values()}
        given = {name: value.strip() for name, value in environ.items() if name in wanted and value.strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            takes = next(field.description for field in cls.model_fields.values() if field.validation_alias == name)
            raise InvalidRequest(f"The setting {name} must be {takes or 'valid text'}.", param=name) from None

    @property
    def home(self) -> Path:
        """Where everything that must last lies: `OSCINE_VOLUME`, else RunPod's volume, else the user's data folder."""
        if self.volume is not None:
            return self.volume
        if RUNPOD_VOLUME.is_dir():
            return RUNPOD_VOLUME
        from platformdirs import user_data_path

        return user_data_path("oscine", appauthor=False)

    @property
    def voice_home(self) -> Path:
        """Where new reference voices and `voices.json` are written."""
        return self.audio_voices_dir or self.home / "voices"

    @property
    def voice_folders(self) -> tuple[Path, ...]:
        """Where reference voices are looked for, first match first.

        Two workers may have left recordings of one name on a volume; a deployment goes on with those of its own engine.
        """
        indextts = self.audio_voices_dir or self.home / "indextts" / "audio_voices"
        vibevoice = self.audio_prompts_dir or self.home / "vibevoice" / "demo" / "voices"
        if self.engine == "vibevoice":
            return (self.voice_home, vibevoice, indextts)
        return (self.voice_home, indextts, vibevoice)

    @property
    def indextts_checkpoints(self) -> Path:
        """Where IndexTTS-2's files lie."""
        return self.checkpoints_dir or self.home / "indextts" / "checkpoints"

    @property
    def indextts25_checkpoints(self) -> Path:
        """Where IndexTTS-2.5's files lie."""
        return self.indextts25_dir or self.home / "indextts25" / "checkpoints"

    def output_folder(self, engine: str) -> Path:
        """Where an engine's results lie until they are delivered: OUTPUT_AUDIO_DIR, else where they always were."""
        if self.output_audio_dir is not None:
            return self.output_audio_dir
        if engine == "vibevoice":
            return self.home / "vibevoice" / "output"
        return self.home / "indextts" / "output_audio"

    @property
    def spool(self) -> Path:
        """Where finished pieces wait until their file is complete."""
        return self.home / "spool"
