"""Silence those of MLflow's messages that do not help users."""

import logging

_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # prints a traceback of an error that it also raises
    "urllib3.connectionpool": logging.ERROR,  # a line for each retry
}


def quiet() -> None:
    """Silence them; call this after MLflow's import, which sets its own levels."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # `track` has logged these itself, so it does not matter if `log_model` could not.
    logging.getLogger("mlflow.models.model").addFilter(_is_not_of_params)


def _is_not_of_params(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to log model config as params")
