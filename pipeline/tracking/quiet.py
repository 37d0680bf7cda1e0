"""MLflow's own messages, of which users get none that they cannot use."""

import logging

_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # prints a traceback of what it raises anyway
    "urllib3.connectionpool": logging.ERROR,  # a line for each retry
}


def quiet() -> None:
    """Silence them; called after MLflow's import, which sets levels of its own."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # `track` has logged these itself, so it does not matter if `log_model` could not.
    logging.getLogger("mlflow.models.model").addFilter(_is_not_of_params)


def _is_not_of_params(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to log model config as params")
